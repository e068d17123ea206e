//! What a view still needs of the logs of its inputs, as the watermark moves.
//!
//! The rows of open windows, and those a join may still need, are where they are anyway: in the logs of the
//! inputs. A view only notes there from which batch on it needs them.

use std::sync::atomic::Ordering;

use super::reading::{Piece, Reading, borrowed, inserted_of};
use super::shared::Shared;
use super::stream::Keeps;
use super::tide::{self, ENDED, UNKNOWN};
use crate::engine::{Ledger, SEQ, Session};
use crate::plan::{DerivedPlan, Horizon as Plan};
use crate::sql::quote_ident;

/// A watermark with what follows from it, all in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub watermark: i64,
    /// A row is in a closed window if one of its columns is below its floor.
    pub floors: Vec<i64>,
    /// Rows of an input before this are no longer needed.
    pub lows: Vec<i64>,
}

/// How far event time has come in a view, and what it keeps for that.
pub struct Horizon {
    pub bounds: Bounds,
    /// For each input, the batch after which its rows are still needed.
    pub needed_after: Vec<u64>,
}

impl Horizon {
    /// Reads the committed watermark and finds what is still needed.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn new(
        session: &Session,
        (plan, horizon): (&DerivedPlan, &Plan),
        reading: &Reading,
    ) -> anyhow::Result<Self> {
        let watermark = Ledger::new(session).watermark(&plan.stored.name)?;
        let mut new = Self {
            bounds: bounds(session, horizon, watermark.unwrap_or(UNKNOWN))?,
            needed_after: vec![0; plan.feed.inputs.len()],
        };
        new.release(session, (plan, horizon), (reading, &reading.positions()))?;
        Ok(new)
    }

    /// Returns the bounds once the inputs are taken up to `ends`.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn at(
        &self,
        session: &Session,
        horizon: &Plan,
        (reading, ends): (&Reading, &[u64]),
    ) -> anyhow::Result<Bounds> {
        let inputs = reading.inputs.iter().map(|input| &input.stream);
        let watermark = tide::watermark(inputs.zip(ends.iter().copied()));
        if watermark <= self.bounds.watermark {
            return Ok(self.bounds.clone());
        }
        bounds(session, horizon, watermark)
    }

    /// Returns, as parameters, the batches of each input up to `ends` that have rows which are needed.
    pub fn ranges(&self, ends: &[u64]) -> Vec<i64> {
        let ranges = self.needed_after.iter().zip(ends);
        ranges
            .flat_map(|(after, end)| [number(*after), number(*end)])
            .collect()
    }

    /// Sets rows aside that came too late for the view, in the caller's transaction: those of an input that was
    /// idle meanwhile, earlier than `before` says for each input. A single input has refused its late rows
    /// itself.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn set_late_aside(
        shared: &Shared,
        session: &Session,
        (plan, horizon): (&DerivedPlan, &Plan),
        (piece, before): (&Piece, &[i64]),
    ) -> anyhow::Result<()> {
        if plan.feed.inputs.len() < 2 {
            return Ok(());
        }
        let now = shared.now().timestamp_micros();
        let name = &plan.stored.name;
        for (at, input) in plan.feed.inputs.iter().enumerate() {
            let (from, to) = piece.ranges[at];
            if from == to || before[at] == UNKNOWN {
                continue;
            }
            let time = quote_ident(&horizon.times[at]);
            let sql = format!(
                "INSERT INTO omlsp.error SELECT make_timestamp($4::BIGINT), $5, 'late', \
                 'this row of `' || $6 || '` is earlier than what is closed', to_json(_row)::VARCHAR \
                 FROM ({}) AS _row WHERE epoch_us(CAST({time} AS TIMESTAMP)) < $3::BIGINT",
                input.stored.inserted_sql(1)
            );
            let (from, to) = (number(from), number(to));
            let late = session.insert_more(
                &sql,
                &[&from, &to, &before[at], &now, name, &input.stored.name],
            )?;
            if late > 0 {
                tracing::warn!(entity = %name, rows = late, "rows came late; see omlsp_errors");
                let status = shared.board.status(name);
                status
                    .rejected
                    .fetch_add(u64::try_from(late)?, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Finds from which batches on there are rows that are needed, and lets the others go. Batches up to `ends`
    /// are taken.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn release(
        &mut self,
        session: &Session,
        (plan, horizon): (&DerivedPlan, &Plan),
        (reading, ends): (&Reading, &[u64]),
    ) -> anyhow::Result<()> {
        let mut lows = self.bounds.lows.clone();
        for (at, sql) in &horizon.sessions {
            if self.bounds.watermark == ENDED {
                continue;
            }
            let mut params = self.ranges(ends);
            params.push(self.bounds.watermark);
            let sql = inserted_of(&plan.feed, sql, 1);
            let start = session.text(&sql, &borrowed(&params))?;
            let start = start.map(|text| text.parse()).transpose()?;
            lows[*at] = lows[*at].min(start.unwrap_or(ENDED));
        }
        for (at, input) in reading.inputs.iter().enumerate() {
            let stored = &input.stream.stored;
            let time = quote_ident(&horizon.times[at]);
            let sql = format!(
                "SELECT min({SEQ}) - 1 FROM {} WHERE {SEQ} > $1::BIGINT AND {SEQ} <= $2::BIGINT \
                 AND epoch_us(CAST({time} AS TIMESTAMP)) >= $3::BIGINT",
                stored.data()
            );
            let (from, end) = (number(self.needed_after[at]), number(ends[at]));
            let needed = session.number(&sql, &[&from, &end, &lows[at]])?;
            let after = needed.map_or(Ok(ends[at]), u64::try_from)?;
            self.needed_after[at] = after;
            input
                .stream
                .reader_keeps(&reading.consumer, Keeps::After(after));
        }
        Ok(())
    }
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn bounds(session: &Session, horizon: &Plan, watermark: i64) -> anyhow::Result<Bounds> {
    let inputs = horizon.times.len();
    if watermark == UNKNOWN || watermark == ENDED {
        return Ok(Bounds {
            watermark,
            floors: vec![watermark; horizon.floors],
            lows: vec![watermark; inputs],
        });
    }
    let row = session.texts(&horizon.bounds_sql, &[&watermark])?.pop();
    let row = row.unwrap_or_default();
    let numbers: Result<Vec<i64>, _> = (row.iter().flatten()).map(|text| text.parse()).collect();
    let mut floors = numbers?;
    anyhow::ensure!(
        floors.len() == horizon.floors + inputs,
        "the bounds of the watermark cannot be computed"
    );
    let lows = floors.split_off(horizon.floors);
    Ok(Bounds {
        watermark,
        floors,
        lows,
    })
}
