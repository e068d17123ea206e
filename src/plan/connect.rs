//! Options to connectors: the registry looked up, suggestions for what it does not have.

use crate::connector::{CONNECTORS, Connector, find};
use crate::diagnostic::{Diagnostic, Span, list_names};
use crate::options::{Environment, Options};
use crate::secret::Secrets;
use crate::sql::OptionList;

/// What option values are resolved with.
pub struct Settings<'a> {
    pub environment: &'a Environment,
    pub secrets: &'a Secrets,
}

impl Settings<'_> {
    /// Returns the place of the value of `connector`, or of the list if it has none.
    pub fn connector_span(&self, list: &OptionList) -> Span {
        let entry = list
            .entries
            .iter()
            .find(|entry| entry.key.name == "connector");
        entry.map_or(list.span, |entry| entry.value.span)
    }
}

/// Takes the option `connector` and returns it with the remaining options; `None` after a fault.
pub fn connector_of<'a>(
    settings: &Settings<'a>,
    list: &OptionList,
    faults: &mut Vec<Diagnostic>,
) -> Option<(Options<'a>, &'static Connector)> {
    let mut options = Options::new(list, settings.environment, settings.secrets);
    let Some(name) = options.required_text("connector") else {
        // Only this fault: what the other options should be depends on the connector.
        faults.extend(
            options
                .finish()
                .into_iter()
                .filter(|fault| !fault.message.starts_with("unknown option")),
        );
        return None;
    };
    if let Some(connector) = find(name.expose()) {
        return Some((options, connector));
    }
    let names: Vec<&str> = (CONNECTORS.iter())
        .flat_map(|connector| {
            [connector.name]
                .into_iter()
                .chain(connector.aliases.iter().copied())
        })
        .collect();
    let message = format!("connector `{}` does not exist", name.shown());
    let fault = Diagnostic::new(name.span, message)
        .label(format!(
            "the connectors are {}",
            list_names(names.iter().copied())
        ))
        .suggest(name.expose(), names);
    faults.push(fault);
    None
}
