//! For the tests of the connectors: options from text, faults as the user sees them.

use std::sync::{Arc, Mutex};

use super::{Connector, Context, Declared, Event, SinkConnector, SourceConnector, Stop};
use crate::batch::datatypes::DataType;
use crate::batch::{Column, Schema};
use crate::diagnostic::{FileId, SourceMap, Span};
use crate::options::{Environment, Options};
use crate::secret::{Secret, Secrets};
use crate::sql::{Ident, OptionEntry, OptionList, OptionValue, OptionValueKind};

/// Makes the source of a connector from the inside of its `WITH ( … )`, or the rendered faults.
/// There is one secret, `token`, and one variable, `${DOLLARS}`, which is `a$b$$`.
pub fn source(
    connector: &Connector,
    columns: &[(&str, DataType)],
    with: &str,
) -> Result<Box<dyn SourceConnector>, String> {
    let make = connector.source.expect("the connector has a source");
    take(with, |options| {
        make(options, &declared(columns, options.span()))
    })
}

/// As [`source`], for a sink of a relation with the given columns.
pub fn sink(
    connector: &Connector,
    schema: &Schema,
    with: &str,
) -> Result<Box<dyn SinkConnector>, String> {
    let make = connector.sink.expect("the connector has a sink");
    take(with, |options| make(options, schema))
}

/// Reads options with the given function; the rendered faults if there are any.
pub fn take<T>(with: &str, read: impl FnOnce(&mut Options<'_>) -> Option<T>) -> Result<T, String> {
    let mut sources = SourceMap::default();
    let text = format!("WITH ({with})");
    let file = sources.add("test.sql", text.as_str());
    let list = parse(&text, file);
    let environment = Environment::from_iter([("DOLLARS".to_owned(), "a$b$$".to_owned())]);
    let mut secrets = Secrets::default();
    secrets.insert("token", Secret::new("s3cr3t"));
    let mut options = Options::new(&list, &environment, &secrets);
    let taken = read(&mut options);
    let faults = options.finish();
    match taken {
        Some(taken) if faults.is_empty() => Ok(taken),
        None if faults.is_empty() => panic!("nothing was made, and no fault says why: {with}"),
        _ => Err(sources.render(&faults)),
    }
}

/// Returns a context that keeps what is reported.
pub fn context() -> (Context, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let context = Context::new(Stop::default(), move |event| {
        sink.lock().unwrap().push(event)
    });
    (context, events)
}

/// Asserts that a text of faults has each of the given parts.
#[track_caller]
pub fn assert_fault<T>(result: Result<T, String>, parts: &[&str]) {
    let Err(faults) = result else {
        panic!("no fault; expected {parts:?}");
    };
    for part in parts {
        assert!(faults.contains(part), "`{part}` is not in:\n{faults}");
    }
}

fn declared(columns: &[(&str, DataType)], columns_span: Span) -> Declared {
    let columns = columns
        .iter()
        .map(|(name, arrow)| Column {
            name: (*name).to_owned(),
            sql_type: arrow.to_string(),
            arrow: arrow.clone(),
            nullable: true,
            in_key: false,
        })
        .collect();
    Declared {
        columns,
        included: Vec::new(),
        params: Vec::new(),
        columns_span,
        places: Vec::new(),
    }
}

/// Reads `key = 'value'`, `key = bare` and `key = SECRET name`, with commas between.
fn parse(text: &str, file: FileId) -> OptionList {
    let span = |start: usize, end: usize| Span { file, start, end };
    let mut entries = Vec::new();
    let mut at = "WITH (".len();
    let end = text.len() - 1;
    loop {
        at += text[at..end].len() - text[at..end].trim_start_matches([' ', '\n', ',']).len();
        if at >= end {
            break;
        }
        let equals = at + text[at..end].find('=').expect("every option has a `=`");
        let name = text[at..equals].trim();
        let key = Ident {
            name: name.to_owned(),
            span: span(at, at + name.len()),
        };
        let start =
            equals + 1 + (text[equals + 1..end].len() - text[equals + 1..end].trim_start().len());
        let (kind, value_end) = value(text, start, end, file);
        entries.push(OptionEntry {
            key,
            value: OptionValue {
                kind,
                span: span(start, value_end),
            },
        });
        at = value_end;
    }
    OptionList {
        entries,
        span: span("WITH ".len(), text.len()),
        present: true,
    }
}

fn value(text: &str, start: usize, end: usize, file: FileId) -> (OptionValueKind, usize) {
    if let Some(name) = text[start..end].strip_prefix("SECRET ") {
        let name = name.split([',', ' ', '\n']).next().unwrap_or_default();
        let place = start + "SECRET ".len();
        let span = Span {
            file,
            start: place,
            end: place + name.len(),
        };
        let name = Ident {
            name: name.to_owned(),
            span,
        };
        return (OptionValueKind::Secret(name), span.end);
    }
    if !text[start..].starts_with('\'') {
        let length = text[start..end]
            .find([',', ' ', '\n'])
            .unwrap_or(end - start);
        let bare = text[start..start + length].to_owned();
        return (OptionValueKind::Bare(bare), start + length);
    }
    let mut close = start + 1;
    while let Some(quote) = text[close..].find('\'') {
        close += quote + 1;
        if !text[close..].starts_with('\'') {
            break;
        }
        close += 1;
    }
    let inner = text[start + 1..close - 1].replace("''", "'");
    (OptionValueKind::Text(inner), close)
}
