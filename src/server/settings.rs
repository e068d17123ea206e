//! What `SET` sets: a few bounds of statements. The client keeps them and sends them along, so that they
//! outlive any connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, list_names};
use crate::options::parse_duration;
use crate::sql::{Ident, OptionValue, OptionValueKind};

/// The requests one statement may send without being told that it may: enough to look at something, too few
/// to use up a quota by accident.
const LOOKUP_REQUESTS_MAX_DEFAULT: u64 = 1000;

const NAMES: [&str; 3] = ["statement_timeout", "lookup_requests_max", "timezone"];

/// The settings of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// After this time a statement is cancelled; 0 is never.
    pub statement_timeout_ms: u64,
    /// The distinct parameters for which one statement may ask lookups.
    pub lookup_requests_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            statement_timeout_ms: 0,
            lookup_requests_max: LOOKUP_REQUESTS_MAX_DEFAULT,
        }
    }
}

impl Settings {
    pub fn statement_timeout(&self) -> Option<Duration> {
        (self.statement_timeout_ms > 0).then(|| Duration::from_millis(self.statement_timeout_ms))
    }

    /// Sets one setting.
    ///
    /// # Errors
    /// There is no such setting, or it cannot have this value.
    pub fn set(&mut self, name: &Ident, value: &OptionValue) -> Result<(), Box<Diagnostic>> {
        let text = match &value.kind {
            OptionValueKind::Text(text) | OptionValueKind::Bare(text) => text.as_str(),
            OptionValueKind::Secret(_) => "",
        };
        let wrong = |expected: &str| {
            let message = format!("`{}` must be {expected}", name.name);
            Box::new(Diagnostic::new(value.span, message))
        };
        match name.key().as_str() {
            "statement_timeout" => {
                let never = ["0", "off", "none"].contains(&text);
                let timeout = if never {
                    Some(Duration::ZERO)
                } else {
                    parse_duration(text)
                };
                let timeout =
                    timeout.ok_or_else(|| wrong("a duration such as '30s', or 0 for none"))?;
                self.statement_timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            }
            "lookup_requests_max" => {
                self.lookup_requests_max = text.parse().map_err(|_| wrong("a whole number"))?;
            }
            "timezone" => {
                if !["utc", "gmt", "etc/utc"].contains(&text.to_lowercase().as_str()) {
                    return Err(wrong("'UTC': all times are"));
                }
            }
            _ => {
                let message = format!("setting `{}` does not exist", name.name);
                let fault = Diagnostic::new(name.span, message).suggest(&name.name, NAMES);
                return Err(Box::new(match fault.help {
                    Some(_) => fault,
                    None => fault.help(format!("the settings are {}", list_names(NAMES))),
                }));
            }
        }
        Ok(())
    }
}
