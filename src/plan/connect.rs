//! Options to connectors: the registry looked up, suggestions for what it does not have.

use crate::connector::{CONNECTORS, Connector, find};
use crate::diagnostic::{Diagnostic, list_names};
use crate::options::{Environment, Options};
use crate::secret::Secrets;
use crate::sql::OptionList;

/// What option values are resolved with.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    pub environment: &'a Environment,
    pub secrets: &'a Secrets,
}

/// What a connector is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Lookup,
    Sink,
}

impl Role {
    fn is_of(self, connector: &Connector) -> bool {
        match self {
            Self::Source => connector.source.is_some(),
            Self::Lookup => connector.lookup.is_some(),
            Self::Sink => connector.sink.is_some(),
        }
    }

    /// Says what a connector without this role cannot do.
    fn refusal(self) -> &'static str {
        match self {
            Self::Source => "cannot be read",
            Self::Lookup => "answers no lookups",
            Self::Sink => "cannot be written to",
        }
    }
}

/// Why there is no connector for some options, after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// None is named, or none of that name is known.
    Name,
    /// That one is for another kind of entity, which is perhaps what was meant.
    Role,
}

/// Returns the faults of options whose values are all known.
pub fn faults_of(options: Options<'_>) -> Vec<Diagnostic> {
    match options.has_unknown() {
        true => Vec::new(),
        false => options.finish(),
    }
}

/// Takes the option `connector` and returns it, which has that role, with the remaining options.
///
/// # Errors
/// What is missing, after a fault was noted.
pub fn connector_of<'a>(
    settings: &Settings<'a>,
    list: &OptionList,
    role: Role,
    faults: &mut Vec<Diagnostic>,
) -> Result<(Options<'a>, &'static Connector), Missing> {
    let mut options = Options::new(list, settings.environment, settings.secrets);
    faults.extend(options.respell("connector"));
    let Some(name) = options.required_text("connector") else {
        // Only this fault: what the other options should be depends on the connector.
        faults.extend(
            options
                .finish()
                .into_iter()
                .filter(|fault| !fault.message.starts_with("unknown option")),
        );
        return Err(Missing::Name);
    };
    let found = find(name.expose());
    if let Some(connector) = found.filter(|connector| role.is_of(connector)) {
        return Ok((options, connector));
    }
    let with_role = || CONNECTORS.iter().filter(|connector| role.is_of(connector));
    let names: Vec<&str> = with_role().map(|connector| connector.name).collect();
    let message = match found {
        Some(_) => format!("connector `{}` {}", name.shown(), role.refusal()),
        None => format!("connector `{}` does not exist", name.shown()),
    };
    let fault = Diagnostic::new(name.span, message).label(match names.as_slice() {
        [one] => format!("expected `{one}`"),
        _ => format!("expected one of {}", list_names(names.iter().copied())),
    });
    let lookup = found.is_some_and(|connector| connector.lookup.is_some());
    faults.push(match (role, found) {
        (Role::Lookup, Some(_)) => {
            fault.help("a TEMPORARY TABLE is asked by the rows that join it; a TABLE polls")
        }
        (_, Some(_)) if lookup => fault.help("a lookup is declared as a TEMPORARY TABLE"),
        (_, Some(_)) => fault,
        (_, None) => {
            let aliases = with_role().flat_map(|connector| connector.aliases);
            fault.suggest(name.expose(), names.iter().chain(aliases).copied())
        }
    });
    Err(found.map_or(Missing::Name, |_| Missing::Role))
}
