//! Options that several connectors share: what makes rows of messages, and headers.
//!
//! Knows nothing of any protocol. Called by the kafka, ws and http connectors.

use super::OnError;
use crate::diagnostic::Diagnostic;
use crate::format::{Filter, TimestampUnit};
use crate::options::{Options, Text};

/// How the messages of a source become rows.
#[derive(Clone, Debug)]
pub struct RowOptions {
    /// The filter whose outputs are the rows; `.` if not given.
    pub filter: Filter,
    pub on_error: OnError,
    /// The unit of epochs in `TIMESTAMP` columns; guessed by magnitude if not given.
    pub timestamp_unit: Option<TimestampUnit>,
}

impl RowOptions {
    /// Takes `jq`, `on_error` and `timestamp_unit`; `None` where a fault was noted that leaves no rows.
    pub fn take(options: &mut Options<'_>) -> Option<Self> {
        let filter = take_filter(options);
        let on_errors = [
            ("dead_letter", OnError::DeadLetter),
            ("skip", OnError::Skip),
            ("fail", OnError::Fail),
        ];
        let on_error = options.one_of("on_error", &on_errors).unwrap_or_default();
        let timestamp_unit = options.one_of("timestamp_unit", TimestampUnit::WORDS);
        Some(Self {
            filter: filter?,
            on_error,
            timestamp_unit,
        })
    }
}

fn take_filter(options: &mut Options<'_>) -> Option<Filter> {
    if options.key_span("jq").is_none() {
        options.text("jq");
        return Some(Filter::identity());
    }
    let text = options.text("jq")?;
    match Filter::compile(text.expose()) {
        Ok(filter) => {
            options.note(filter.explain());
            Some(filter)
        }
        Err(error) => {
            options.fault(Diagnostic::new(
                text.part(error.start, error.end),
                error.message,
            ));
            None
        }
    }
}

/// Which header names are allowed.
#[derive(Clone, Copy, Debug)]
pub enum HeaderRules {
    /// Any text: the headers of a message.
    Any,
    /// RFC 9110 section 5.1, and none of these, which the protocol sets itself (in lower case).
    Http { reserved: &'static [&'static str] },
}

/// Takes `headers.*` in the order written.
pub fn take_headers(options: &mut Options<'_>, rules: HeaderRules) -> Vec<(String, Text)> {
    let given = options.prefixed("headers.");
    let mut headers = Vec::with_capacity(given.len());
    for (name, key, value) in given {
        if let HeaderRules::Http { reserved } = rules {
            let fault = if !name.bytes().all(is_token) {
                Diagnostic::new(key, format!("`{name}` cannot be the name of a header"))
                    .label("expected letters, digits and `-`")
            } else if reserved.contains(&name.to_lowercase().as_str()) {
                Diagnostic::new(
                    key,
                    format!("header `{name}` is set by the protocol itself"),
                )
            } else if value.expose().chars().any(|c| c.is_control() && c != '\t') {
                Diagnostic::new(
                    value.span,
                    format!("header `{name}` has a control character"),
                )
            } else {
                headers.push((name, value));
                continue;
            };
            options.fault(fault);
            continue;
        }
        headers.push((name, value));
    }
    headers
}

/// RFC 9110 section 5.6.2, `tchar`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
