//! The rows of a body: the options that say how they are read, and the words for a body without any.
//!
//! Shared by the source and the lookup.

use crate::batch::{Column, Decoded};
use crate::connector::row_options::RowOptions;
use crate::connector::{OnError, no_rows};
use crate::diagnostic::Diagnostic;
use crate::format::{Decoder, Filter};
use crate::options::{Options, Text};

use super::shown::snippet;
use super::wire::Response;

/// How the bodies of an entity are read.
pub(super) struct Rows {
    pub decoder: Decoder,
    pub on_error: OnError,
}

impl Rows {
    /// Takes `jq`, `timestamp_unit` and `on_error`; `columns` are those the rows fill.
    pub fn take(options: &mut Options<'_>, columns: &[Column]) -> Option<Self> {
        let row_options = RowOptions::take(options)?;
        let decoder = Decoder::new(
            columns.to_vec(),
            row_options.filter,
            row_options.timestamp_unit,
        );
        Some(Self {
            decoder,
            on_error: row_options.on_error,
        })
    }

    /// Returns an answer without rows.
    pub fn none(&self) -> Decoded {
        Decoded {
            rows: no_rows(self.decoder.schema()),
            rejects: Vec::new(),
        }
    }
}

/// Compiles a jq filter; a fault of it is shown at its place in the text.
pub(super) fn compile(options: &mut Options<'_>, text: &Text) -> Option<Filter> {
    match Filter::compile(text.expose()) {
        Ok(filter) => Some(filter),
        Err(error) => {
            options.fault(Diagnostic::new(
                text.part(error.start, error.end),
                error.message,
            ));
            None
        }
    }
}

/// Says what came instead of rows: the type of the body, and how it begins.
pub(super) fn describe(response: &Response) -> String {
    let kind = response
        .header(ureq::http::header::CONTENT_TYPE)
        .unwrap_or("no content type");
    let encoding = response
        .header(ureq::http::header::CONTENT_ENCODING)
        .map(str::trim)
        .filter(|encoding| !["", "gzip", "identity"].contains(encoding));
    if let Some(encoding) = encoding {
        return format!(
            "status {}, {kind} with `Content-Encoding: {encoding}`, which is not understood (only gzip is)",
            response.status
        );
    }
    match snippet(&response.body) {
        empty if empty.is_empty() => format!("status {}, an empty body, {kind}", response.status),
        begins => format!(
            "status {}, {kind}, the body begins with {begins}",
            response.status
        ),
    }
}
