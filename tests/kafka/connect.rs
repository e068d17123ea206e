//! The connector through the crate's own interface: options as a statement gives them, a context that
//! remembers, and rows as lines of JSON.

// Benches compile all of this and use a part of it.
#![allow(dead_code)]

use std::sync::{Arc, Mutex};

use chrono::Utc;
use omlsp::batch::datatypes::DataType;
use omlsp::batch::{Batch, Column, RecordBatch, Schema, Sign};
use omlsp::connector::{
    Context, Declared, Event, SinkConnector, SourceConnector, SourceReader, Stop, find,
};
use omlsp::diagnostic::{SourceMap, Span};
use omlsp::format::JsonEncoder;
use omlsp::options::{Environment, Options};
use omlsp::secret::Secrets;
use omlsp::sql::{Ident, OptionEntry, OptionList, OptionValue, OptionValueKind};

/// Makes a sink.
///
/// # Panics
/// With the faults of the options.
pub fn sink(schema: &Schema, with: &[(&str, &str)]) -> Box<dyn SinkConnector> {
    let make = find("kafka")
        .expect("it is registered")
        .sink
        .expect("it has a sink");
    take(with, |options| make(options, schema))
}

/// Makes a source of columns by name, DuckDB's type and Arrow's.
///
/// # Panics
/// With the faults of the options.
pub fn source(
    columns: &[(&str, &str, DataType)],
    with: &[(&str, &str)],
) -> Box<dyn SourceConnector> {
    let make = find("kafka")
        .expect("it is registered")
        .source
        .expect("it has a source");
    let columns = columns.iter().map(|(name, sql_type, arrow)| Column {
        name: (*name).to_owned(),
        sql_type: (*sql_type).to_owned(),
        arrow: arrow.clone(),
        nullable: true,
        in_key: false,
    });
    let columns: Vec<Column> = columns.collect();
    take(with, |options| {
        let columns_span = options.span();
        make(
            options,
            &Declared {
                columns: columns.clone(),
                included: Vec::new(),
                params: Vec::new(),
                columns_span,
                places: Vec::new(),
            },
        )
    })
}

fn take<T>(with: &[(&str, &str)], make: impl FnOnce(&mut Options<'_>) -> Option<T>) -> T {
    let mut sources = SourceMap::default();
    let file = sources.add("test.sql", "WITH ()");
    let span = Span {
        file,
        start: 0,
        end: 1,
    };
    let entries = with.iter().map(|(key, value)| OptionEntry {
        key: Ident {
            name: (*key).to_owned(),
            span,
        },
        value: OptionValue {
            kind: OptionValueKind::Text((*value).to_owned()),
            span,
        },
    });
    let list = OptionList {
        entries: entries.collect(),
        span,
        present: true,
    };
    let (environment, secrets) = (Environment::default(), Secrets::default());
    let mut options = Options::new(&list, &environment, &secrets);
    let made = make(&mut options);
    let faults = options.finish();
    assert!(faults.is_empty(), "{}", sources.render(&faults));
    made.expect("without a fault it is made")
}

/// What was reported.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub fn rejects(&self) -> Vec<String> {
        self.pick(|event| match event {
            Event::Reject(reject) => Some(reject.message.clone()),
            _ => None,
        })
    }

    pub fn warnings(&self) -> Vec<String> {
        self.pick(|event| match event {
            Event::Warning(text) => Some(text.clone()),
            _ => None,
        })
    }

    pub fn retries(&self) -> Vec<String> {
        self.pick(|event| match event {
            Event::Retry { error, .. } => Some(error.clone()),
            _ => None,
        })
    }

    fn pick(&self, pick: impl Fn(&Event) -> Option<String>) -> Vec<String> {
        let events = self.0.lock().expect("no panic happens under this lock");
        events.iter().filter_map(pick).collect()
    }
}

/// Returns a context, its signal to stop, and what will be reported to it.
pub fn context() -> (Context, Stop, Events) {
    let (stop, events) = (Stop::default(), Events::default());
    let sink = events.clone();
    let context = Context::new(stop.clone(), move |event| {
        sink.0
            .lock()
            .expect("no panic happens under this lock")
            .push(event);
    });
    (context, stop, events)
}

pub fn batch(rows: &RecordBatch, sign: Sign) -> Batch {
    Batch {
        rows: rows.clone(),
        sign,
        trigger: Utc::now(),
    }
}

/// Returns rows as lines of JSON.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    let encoder = JsonEncoder::new(&rows.schema(), &[]).expect("the types can be written");
    encoder
        .encode_lines(rows, &mut out)
        .expect("the rows are of their schema");
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    text.lines().map(str::to_owned).collect()
}

/// What a reader delivered.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub lines: Vec<String>,
    pub rejects: Vec<String>,
    pub cursor: Option<String>,
}

impl Received {
    /// Reads until there are so many rows and rejects together, or some seconds have passed; goes on over
    /// errors as the runtime does.
    pub fn read(&mut self, reader: &mut dyn SourceReader, count: usize, context: &Context) {
        let end = std::time::Instant::now() + crate::support::binary::WAIT_MAX;
        while self.lines.len() + self.rejects.len() < count && std::time::Instant::now() < end {
            if let Err(error) = self.read_once(reader, context) {
                println!("read: {error:#}");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }

    pub fn read_once(
        &mut self,
        reader: &mut dyn SourceReader,
        context: &Context,
    ) -> anyhow::Result<()> {
        reader.read(Utc::now(), context, &mut |delivery| {
            self.lines.extend(lines(&delivery.decoded.rows));
            let rejects = delivery.decoded.rejects.iter();
            self.rejects
                .extend(rejects.map(|reject| reject.message.clone()));
            self.cursor = delivery.cursor.or(self.cursor.take());
            Ok(())
        })?;
        Ok(())
    }
}
