//! A relation over event time: one that gives each window once, when the watermark of its inputs passes the
//! window's end, or one that joins two inputs by the distance of their times.
//!
//! Closing: when the watermark moves the query runs over the rows of open windows, and what is closed now and was
//! not before is the new batch. Joining: the query runs over the new rows of one side and what is kept of the
//! other. Positions and watermark are committed with the batch.

use std::sync::Arc;

use super::horizon::{Bounds, Horizon};
use super::reading::{Piece, Reading, borrowed, inserted_of};
use super::shared::Shared;
use super::step::{Progress, Step};
use super::stream::Stream;
use crate::engine::{Ledger, Session, Stamp};
use crate::plan::{Closing, DerivedPlan, Horizon as HorizonPlan, Maintenance, Node};
use crate::sql::quote_ident;

/// Takes pieces of its inputs, and adds rows that are final.
pub struct Timed {
    name: String,
    shared: Arc<Shared>,
    session: Session,
    node: Arc<Node>,
    stream: Arc<Stream>,
    reading: Reading,
    horizon: Horizon,
    append_sql: String,
}

impl Timed {
    /// # Errors
    /// DuckDB's own.
    pub fn new(
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        stream: &Arc<Stream>,
        inputs: Vec<Arc<Stream>>,
    ) -> anyhow::Result<Self> {
        let session = shared.database.session()?;
        let (plan, horizon) = plan_of(node);
        let name = plan.stored.name.clone();
        let is_new = shared.newcomers.take(&name);
        let reading = Reading::new((&name, is_new), inputs, &session)?;
        let append_sql = match &plan.maintenance {
            Maintenance::WindowClose(closing) => close_sql(plan, closing),
            _ => join_sql(plan, &horizon.times),
        };
        Ok(Self {
            horizon: Horizon::new(&session, (plan, horizon), &reading)?,
            reading,
            append_sql,
            name,
            shared: Arc::clone(shared),
            session,
            node: Arc::clone(node),
            stream: Arc::clone(stream),
        })
    }

    /// Adds the rows that are final with the new bounds, inside the caller's transaction; returns their number.
    fn add(
        &self,
        session: &Session,
        (piece, ends): (Option<&Piece>, &[u64]),
        (next, stamp): (&Bounds, Stamp),
    ) -> anyhow::Result<usize> {
        let plan = plan_of(&self.node);
        let bounds = &self.horizon.bounds;
        match (&plan.0.maintenance, piece) {
            (Maintenance::WindowClose(_), piece) => {
                if let Some(piece) = piece {
                    let late = (piece, bounds.lows.as_slice());
                    Horizon::set_late_aside(&self.shared, session, plan, late)?;
                }
                self.close(session, (next, ends), stamp)
            }
            (_, None) => Ok(0),
            (_, Some(piece)) => {
                let before = [bounds.watermark; 2];
                let late = (piece, before.as_slice());
                Horizon::set_late_aside(&self.shared, session, plan, late)?;
                self.join(session, piece, stamp)
            }
        }
    }

    fn close(
        &self,
        session: &Session,
        (next, ends): (&Bounds, &[u64]),
        stamp: Stamp,
    ) -> anyhow::Result<usize> {
        let bounds = &self.horizon.bounds;
        if next.floors == bounds.floors {
            return Ok(0);
        }
        let mut params = vec![i64::try_from(stamp.seq)?, stamp.trigger_us];
        params.extend(self.horizon.ranges(ends));
        params.extend(&next.floors);
        params.extend(&bounds.floors);
        session.execute(&self.append_sql, &borrowed(&params))
    }

    /// Joins the new rows of the first input with the old and new ones of the second, then the new rows of the
    /// second with the old ones of the first.
    fn join(&self, session: &Session, piece: &Piece, stamp: Stamp) -> anyhow::Result<usize> {
        let [first, second] = piece.ranges.as_slice() else {
            anyhow::bail!("an interval join has two inputs");
        };
        let watermark = self.horizon.bounds.watermark;
        let starts: Vec<u64> = piece.ranges.iter().map(|(from, _)| *from).collect();
        let ends: Vec<u64> = piece.ranges.iter().map(|(_, to)| *to).collect();
        let (old, all) = (self.horizon.ranges(&starts), self.horizon.ranges(&ends));
        let new = piece.params();
        let (any, head) = (i64::MIN, [i64::try_from(stamp.seq)?, stamp.trigger_us]);
        let mut changed = 0;
        if first.0 < first.1 {
            let params = [&head, &new[..2], &all[2..], &[watermark, any]].concat();
            changed += session.execute(&self.append_sql, &borrowed(&params))?;
        }
        if second.0 < second.1 {
            let params = [&head, &old[..2], &new[2..], &[any, watermark]].concat();
            changed += session.insert_more(&self.append_sql, &borrowed(&params))?;
        }
        Ok(changed)
    }

    fn committed(&mut self, changed: usize, rows_in: u64, stamp: Stamp) {
        self.reading.tell();
        self.shared
            .committed(&self.stream, (changed, rows_in), stamp);
        self.stream
            .set_watermark(self.stream.head(), self.horizon.bounds.watermark);
    }
}

impl Step for Timed {
    fn step(&mut self) -> anyhow::Result<Progress> {
        if self.stream.overfull().is_some() {
            return Ok(Progress::Idle);
        }
        let piece = self.reading.next_piece(&self.session, u64::MAX)?;
        let ends: Vec<u64> = match &piece {
            Some(piece) => piece.ranges.iter().map(|(_, end)| *end).collect(),
            None => self.reading.positions(),
        };
        let plan = plan_of(&self.node);
        let next = self
            .horizon
            .at(&self.session, plan.1, (&self.reading, &ends))?;
        let moved = next != self.horizon.bounds;
        if piece.is_none() && !moved {
            return Ok(Progress::Idle);
        }
        let now_us = self.shared.now().timestamp_micros();
        let stamp = Stamp {
            seq: self.stream.head() + 1,
            trigger_us: piece.as_ref().map_or(now_us, |piece| piece.trigger_us),
        };
        let changed = self.session.transaction(|session| {
            let changed = self.add(session, (piece.as_ref(), &ends), (&next, stamp))?;
            let ledger = Ledger::new(session);
            if changed > 0 {
                ledger.advance(&self.name, stamp.seq, None)?;
            }
            if moved {
                ledger.set_watermark(&self.name, next.watermark)?;
            }
            self.reading.write_positions(session, &ends)?;
            Ok(changed)
        })?;
        let freed = next.lows != self.horizon.bounds.lows;
        self.horizon.bounds = next;
        let rows_in = piece.as_ref().map_or(0, Piece::row_count);
        if let Some(piece) = &piece {
            self.reading.take(piece);
        }
        self.committed(changed, rows_in, stamp);
        if freed {
            let plan = plan_of(&self.node);
            self.horizon
                .release(&self.session, plan, (&self.reading, &ends))?;
        }
        Ok(Progress::More)
    }

    fn flush(&mut self, _end: bool) -> anyhow::Result<Progress> {
        Ok(Progress::Idle)
    }
}

/// Says whether a relation is one of these.
pub fn is_timed(node: &Node) -> bool {
    node.derived().is_some_and(|plan| {
        matches!(
            plan.maintenance,
            Maintenance::WindowClose(_) | Maintenance::IntervalJoin(_)
        )
    })
}

fn plan_of(node: &Node) -> (&DerivedPlan, &HorizonPlan) {
    let plan = node
        .derived()
        .expect("a relation's node is made of its plan");
    match &plan.maintenance {
        Maintenance::WindowClose(closing) => (plan, &closing.horizon),
        Maintenance::IntervalJoin(horizon) => (plan, horizon),
        _ => unreachable!("this relation is maintained by event time"),
    }
}

/// Returns the statement that adds the rows of windows that the new floors close and the old ones do not.
///
/// Its parameters: number and trigger of the batch, a range for each input, a floor for each column now, and
/// as it was before.
fn close_sql(plan: &DerivedPlan, closing: &Closing) -> String {
    let stored = &plan.stored;
    let rows = inserted_of(&plan.feed, &plan.feed.query, 3);
    let first_floor = 3 + 2 * plan.feed.inputs.len();
    let below = |first: usize| -> String {
        let columns = closing.columns.iter().enumerate();
        let below = columns.map(|(number, column)| {
            let (column, floor) = (quote_ident(column), first + number);
            format!("epoch_us(CAST({column} AS TIMESTAMP)) < ${floor}::BIGINT")
        });
        below.collect::<Vec<_>>().join(" OR ")
    };
    let mut names: Vec<String> = (stored.columns.iter())
        .map(|(name, _)| quote_ident(name))
        .collect();
    let own = |column: &&String| {
        let mut known = stored.columns.iter();
        !known.any(|(name, _)| name.eq_ignore_ascii_case(column))
    };
    names.extend((closing.columns.iter().filter(own)).map(|column| quote_ident(column)));
    let order: Vec<String> = (closing.columns.iter())
        .map(|column| quote_ident(column))
        .collect();
    let query = format!(
        "SELECT {} FROM ({rows}) AS closed({}) WHERE ({}) AND NOT coalesce({}, false) ORDER BY {}",
        stored.column_list(),
        names.join(", "),
        below(first_floor),
        below(first_floor + closing.columns.len()),
        order.join(", "),
    );
    stored.append_sql(&query, 1, 2)
}

/// Returns the statement that adds what two ranges of rows give together.
///
/// Its parameters: number and trigger of the batch, a range for each input, and the time from which on rows of
/// each input count.
fn join_sql(plan: &DerivedPlan, times: &[String]) -> String {
    let (feed, inputs) = (&plan.feed, &plan.feed.inputs);
    let rows = feed.with_inputs(&feed.query, &|stored| {
        let at = (inputs.iter())
            .position(|input| input.stored.name == stored.name)
            .expect("the relation is an input of its feed");
        let (range, from) = (3 + 2 * at, 3 + 2 * inputs.len() + at);
        let time = quote_ident(&times[at]);
        format!(
            "{} AND epoch_us(CAST({time} AS TIMESTAMP)) >= ${from}::BIGINT",
            stored.inserted_sql(range)
        )
    });
    plan.stored.append_sql(&rows, 1, 2)
}
