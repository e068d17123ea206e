//! The connector against a real server on loopback, through its public descriptors.

mod auth;
mod lookup;
mod options;
mod pagination;
mod retry;
mod server;
mod sink;
mod tls;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

use super::HTTP;
use crate::batch::array::{AsArray, Int64Array};
use crate::batch::datatypes::{DataType, Int64Type};
use crate::connector::{Context, Delivery, Event, ReadEnd, SourceConnector, SourceReader, testing};

/// Retries that do not slow the tests down.
const QUICK: &str = "retry.initial_backoff = '1ms', retry.max_backoff = '2ms'";

fn tick(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

/// Makes a polled source of one column `id`.
#[track_caller]
fn source(url: &str, with: &str) -> Box<dyn SourceConnector> {
    let with = format!("url = '{url}', interval = '1s', {QUICK}, {with}");
    testing::source(&HTTP, &[("id", DataType::Int64)], &with)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// A reader with what it delivered and reported.
struct Run {
    reader: Box<dyn SourceReader>,
    context: Context,
    events: Arc<Mutex<Vec<Event>>>,
    delivered: Vec<Delivery>,
    /// The delivery of this number (from 0) is refused, as if the process had died there.
    dies_at: Option<usize>,
}

impl Run {
    fn open(source: &dyn SourceConnector, cursor: Option<&str>) -> Self {
        let (context, events) = testing::context();
        Self {
            reader: source.open(cursor, &context).unwrap(),
            context,
            events,
            delivered: Vec::new(),
            dies_at: None,
        }
    }

    fn read(&mut self, second: i64) -> anyhow::Result<ReadEnd> {
        let (delivered, dies_at) = (&mut self.delivered, self.dies_at);
        self.reader
            .read(tick(second), &self.context, &mut |delivery| {
                anyhow::ensure!(dies_at != Some(delivered.len()), "died");
                delivered.push(delivery);
                Ok(())
            })
    }

    /// Returns the ids of all deliveries, one list each.
    fn ids(&self) -> Vec<Vec<i64>> {
        self.delivered.iter().map(ids).collect()
    }

    fn all_ids(&self) -> Vec<i64> {
        self.ids().concat()
    }

    fn cursor(&self) -> Option<String> {
        self.delivered
            .last()
            .and_then(|delivery| delivery.cursor.clone())
    }

    fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let warnings = events.iter().filter_map(|event| match event {
            Event::Warning(text) => Some(text.clone()),
            _ => None,
        });
        warnings.collect()
    }

    fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.events
            .lock()
            .unwrap()
            .iter()
            .filter(|event| matches(event))
            .count()
    }
}

fn ids(delivery: &Delivery) -> Vec<i64> {
    let column: &Int64Array = delivery.decoded.rows.column(0).as_primitive::<Int64Type>();
    column.values().to_vec()
}

/// Returns a JSON array of objects with these ids.
fn rows(ids: impl IntoIterator<Item = i64>) -> String {
    let rows: Vec<String> = ids
        .into_iter()
        .map(|id| format!("{{\"id\":{id}}}"))
        .collect();
    format!("[{}]", rows.join(","))
}

/// Returns the value of a query parameter of a request's target.
fn param(target: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(&format!("http://x{target}")).unwrap();
    url.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}
