//! One look at a pipeline: the counts of every entity, and how fast they grow since the look before.

use std::collections::HashMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::{ColumnHead, Event};

/// What one entity is doing.
#[derive(Clone, Debug, Deserialize)]
pub struct Doing {
    pub name: String,
    pub kind: String,
    pub state: String,
    pub rows_in: u64,
    pub rows_out: u64,
    pub requests: u64,
    pub errors: u64,
    pub rejected: u64,
    pub failing: bool,
    pub behind: Option<u64>,
    pub latency_p99_s: Option<f64>,
    pub last_error: Option<String>,
    pub last_error_at: Option<String>,
    /// Rows a second; of a lookup, requests.
    #[serde(skip)]
    pub rate: f64,
}

impl Doing {
    /// Returns the count whose growth is its rate.
    fn count(&self) -> u64 {
        if self.kind == "lookup" {
            self.requests
        } else {
            self.rows_out
        }
    }

    /// Returns the failures and the rows that were set aside.
    pub fn problems(&self) -> u64 {
        self.errors + self.rejected
    }
}

/// All entities at one moment.
#[derive(Clone, Debug, Deserialize)]
pub struct Look {
    time_ms: i64,
    pub entities: Vec<Doing>,
}

/// Remembers the last look.
#[derive(Default)]
pub struct Looks {
    last: Option<(i64, HashMap<String, u64>)>,
}

impl Looks {
    /// Reads a status and computes the rates.
    ///
    /// # Errors
    /// It is not what this version of the binary knows.
    pub fn take(&mut self, text: &str) -> anyhow::Result<Look> {
        let mut look: Look = serde_json::from_str(text)
            .context("the status is not understood; is the pipeline of another version?")?;
        if let Some((time_ms, counts)) = &self.last {
            // Milliseconds between two looks fit a float.
            let seconds = (look.time_ms - time_ms).max(1) as f64 / 1000.0;
            for doing in &mut look.entities {
                let before = counts.get(&doing.name).copied().unwrap_or(doing.count());
                doing.rate = doing.count().saturating_sub(before) as f64 / seconds;
            }
        }
        let counts = look
            .entities
            .iter()
            .map(|doing| (doing.name.clone(), doing.count()));
        self.last = Some((look.time_ms, counts.collect()));
        Ok(look)
    }
}

impl Look {
    /// Returns the look as a result, for printing.
    pub fn table(&self) -> Vec<Event> {
        let columns = [
            ("entity", "VARCHAR"),
            ("kind", "VARCHAR"),
            ("state", "VARCHAR"),
            ("per_second", "DOUBLE"),
            ("rows_in", "BIGINT"),
            ("rows_out", "BIGINT"),
            ("behind", "BIGINT"),
            ("errors", "BIGINT"),
            ("last_error", "VARCHAR"),
        ];
        let columns = columns.map(|(name, sql_type)| ColumnHead {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
        });
        let row = |doing: &Doing| {
            json!([
                doing.name,
                doing.kind,
                doing.state,
                (doing.rate * 10.0).round() / 10.0,
                doing.rows_in,
                doing.rows_out,
                doing.behind,
                doing.problems(),
                doing.last_error,
            ])
        };
        let rows: Vec<Value> = self.entities.iter().map(row).collect();
        let mut events = vec![Event::Columns(columns.to_vec())];
        if !rows.is_empty() {
            events.push(Event::Rows(Value::Array(rows).to_string()));
        }
        events.push(Event::Done);
        events
    }
}
