//! The `generate` source: numbered rows, the same in every run, from which generated columns make data.
//!
//! The source itself fills at most two columns, `n BIGINT` (the number of the row, from 0) and
//! `seed BIGINT` (the option `seed`); everything else is a generated column over them, such as
//! `price DOUBLE AS (100 + hash(n, seed) % 1000 / 100.0)`. The cursor is the number of the next row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::{
    Cadence, Connector, Context, Declared, Delivery, OnError, Overlap, ReadEnd, SourceConnector,
    SourceReader,
};
use crate::batch::array::{ArrayRef, Int64Array, RecordBatchOptions};
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{Decoded, RecordBatch, Schema};
use crate::diagnostic::Diagnostic;
use crate::options::Options;
use crate::record;

pub const CONNECTOR: Connector = Connector {
    name: "generate",
    aliases: &[],
    source: Some(source),
    lookup: None,
    sink: None,
    includes: false,
};

/// Large enough that a commit costs little beside its rows.
const BATCH_ROWS_DEFAULT: u64 = 8192;

/// A batch is one transaction and is held in memory whole, generated columns included.
const BATCH_ROWS_MAX: u64 = 1 << 20;

/// `n` is a BIGINT.
const ROWS_MAX: u64 = i64::MAX as u64;

/// Faster than any machine makes rows; keeps the arithmetic on instants exact enough.
const RATE_MAX: f64 = 1e9;

/// With `rows_per_second`, a batch holds the rows of this time at most, so that they come evenly.
const PACE: Duration = Duration::from_millis(100);

/// A read waits this long at most for the next row to be due.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What a declared column is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    Number,
    Seed,
}

#[derive(Clone, Debug)]
struct GenerateSource {
    schema: Schema,
    fillings: Vec<Filling>,
    /// The first row that is not made; endless sources end where `n` does.
    end: u64,
    seed: i64,
    rows_per_second: Option<f64>,
    batch_rows: u64,
}

fn source(options: &mut Options<'_>, declared: &Declared) -> Option<Box<dyn SourceConnector>> {
    let end = options.parsed(
        "rows",
        "a whole number from 1 to 9223372036854775807",
        |text| {
            text.parse()
                .ok()
                .filter(|rows| (1..=ROWS_MAX).contains(rows))
        },
    );
    let expected_rate = "a number of rows above 0, such as '1000' or '0.5'";
    let rows_per_second = options.parsed("rows_per_second", expected_rate, |text| {
        text.parse()
            .ok()
            .filter(|rate: &f64| *rate > 0.0 && *rate <= RATE_MAX)
    });
    let seed = options.integer("seed");
    let batch_rows = options.parsed(
        "batch.max_rows",
        "a whole number from 1 to 1048576",
        |text| {
            text.parse()
                .ok()
                .filter(|rows| (1..=BATCH_ROWS_MAX).contains(rows))
        },
    );
    let mut fields = Vec::new();
    let mut fillings = Vec::new();
    for column in &declared.columns {
        let filling = match column.name.to_lowercase().as_str() {
            "n" => Some(Filling::Number),
            "seed" => Some(Filling::Seed),
            _ => None,
        };
        match filling {
            Some(filling) if column.arrow == DataType::Int64 => {
                fields.push(Field::new(&column.name, DataType::Int64, column.nullable));
                fillings.push(filling);
            }
            Some(_) => {
                let message = format!(
                    "column `{}` must be a BIGINT, not {}",
                    column.name, column.sql_type
                );
                options.fault(Diagnostic::new(declared.place(&column.name), message));
            }
            None => {
                let (name, sql_type) = (&column.name, &column.sql_type);
                let message = format!("`generate` does not fill column `{name}`");
                let help = format!(
                    "declare `n BIGINT` (the row's number) and write `{name} {sql_type} AS (expression over n)`"
                );
                options.fault(Diagnostic::new(declared.place(name), message).help(help));
            }
        }
    }
    if seed.is_some() && !fillings.contains(&Filling::Seed) {
        refuse_seed(options);
    }
    Some(Box::new(GenerateSource {
        schema: Arc::new(ArrowSchema::new(fields)),
        fillings,
        end: end.unwrap_or(ROWS_MAX),
        seed: seed.unwrap_or(0),
        rows_per_second,
        batch_rows: batch_rows.unwrap_or(BATCH_ROWS_DEFAULT),
    }))
}

fn refuse_seed(options: &mut Options<'_>) {
    if let Some(key) = options.key_span("seed") {
        let fault = Diagnostic::new(key, "`seed` is given, but there is no column `seed`");
        options.fault(fault.help("declare `seed BIGINT` and use it: `x AS (hash(n, seed) % 100)`"));
    }
}

impl SourceConnector for GenerateSource {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Continuous, Overlap::Skip)
    }

    fn endless(&self) -> bool {
        self.end == ROWS_MAX
    }

    fn on_error(&self) -> OnError {
        OnError::default()
    }

    fn open(
        &self,
        cursor: Option<&str>,
        _context: &Context,
    ) -> anyhow::Result<Box<dyn SourceReader>> {
        let next = match cursor {
            None => 0,
            Some(cursor) => (cursor.parse()).with_context(|| {
                format!("the cursor of the generate source is not a number: `{cursor}`")
            })?,
        };
        let pace = (self.rows_per_second).map(|rate| Pace::new(rate, next, Instant::now()));
        Ok(Box::new(GenerateReader {
            source: self.clone(),
            next,
            pace,
        }))
    }
}

impl GenerateSource {
    fn rows(&self, first: u64, count: u64) -> anyhow::Result<RecordBatch> {
        let count_in_memory = usize::try_from(count).context("a batch fits into memory")?;
        let number = |row: u64| i64::try_from(row).expect("rows end at the largest BIGINT");
        let columns = self
            .fillings
            .iter()
            .map(|filling| -> ArrayRef {
                Arc::new(match filling {
                    Filling::Number => {
                        Int64Array::from_iter_values((first..first + count).map(number))
                    }
                    Filling::Seed => Int64Array::from_value(self.seed, count_in_memory),
                })
            })
            .collect();
        // Without any column the count is all there is.
        let options = RecordBatchOptions::new().with_row_count(Some(count_in_memory));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

struct GenerateReader {
    source: GenerateSource,
    /// The number of the next row.
    next: u64,
    pace: Option<Pace>,
}

impl SourceReader for GenerateReader {
    fn read(
        &mut self,
        _tick: DateTime<Utc>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        context.stop.check()?;
        if self.next >= self.source.end {
            return Ok(ReadEnd::Finished);
        }
        if let Some(player) = context.player() {
            let made = player.take_if(context.entity(), |_| true)?;
            return match made.map(|line| (line.at, line.event)) {
                Some((at, record::Event::Rows { count, .. })) => self.deliver(count, at, emit),
                _ => Ok(ReadEnd::Idle),
            };
        }
        let mut count = self.source.batch_rows.min(self.source.end - self.next);
        if let Some(pace) = &self.pace {
            count = count.min(pace.batch_rows());
            let wait = pace
                .due(self.next)
                .saturating_duration_since(Instant::now());
            context.stop.wait(wait.min(WAIT_MAX))?;
            if wait > WAIT_MAX {
                return Ok(ReadEnd::Idle);
            }
        }
        let trigger = context.now();
        let end = self.deliver(count, trigger, emit)?;
        if let Some(recorder) = context.recorder() {
            let entity = context.entity().to_owned();
            recorder.write(trigger, record::Event::Rows { entity, count });
        }
        Ok(end)
    }
}

impl GenerateReader {
    /// Makes the next rows, as many as there are of `count`.
    fn deliver(
        &mut self,
        count: u64,
        trigger: DateTime<Utc>,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        let count = count.min(self.source.end - self.next);
        let next = self.next + count;
        emit(Delivery {
            decoded: Decoded {
                rows: self.source.rows(self.next, count)?,
                rejects: Vec::new(),
            },
            batch_rows_max: usize::MAX,
            trigger,
            cursor: Some(next.to_string()),
        })?;
        self.next = next;
        Ok(if next == self.source.end {
            ReadEnd::Finished
        } else {
            ReadEnd::Idle
        })
    }
}

/// When each row is due. Every instant is counted from the start, so that nothing drifts: rows that
/// come late do not delay those after them.
struct Pace {
    rows_per_second: f64,
    first: u64,
    start: Instant,
}

impl Pace {
    fn new(rows_per_second: f64, first: u64, start: Instant) -> Self {
        Self {
            rows_per_second,
            first,
            start,
        }
    }

    /// Returns how many rows come together.
    fn batch_rows(&self) -> u64 {
        ((self.rows_per_second * PACE.as_secs_f64()) as u64).max(1)
    }

    fn due(&self, row: u64) -> Instant {
        let seconds = (row - self.first) as f64 / self.rows_per_second;
        // Centuries ahead is as good as any later instant.
        let far = Duration::from_secs(u64::from(u32::MAX));
        let offset = Duration::try_from_secs_f64(seconds).unwrap_or(far).min(far);
        self.start + offset
    }
}

#[cfg(test)]
mod tests;
