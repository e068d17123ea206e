//! What a consumer reads next: positions, pieces, and the parameters of its query.

use std::sync::Arc;

use super::stream::{BatchNote, Stream};
use crate::engine::{Layout, Ledger, Param, Session, Stored};
use crate::plan::Feed;

/// The rows a consumer takes at once when it is behind: enough to spread the cost of a commit, few enough
/// to stay in memory.
pub const PIECE_ROWS_MAX: u64 = 131_072;

/// The bound for a batch at a time, whatever its size.
pub const ONE_BATCH: u64 = 1;

/// The readers of one feed's streams, and how far they are.
pub struct Reading {
    pub consumer: String,
    pub inputs: Vec<InputReading>,
}

pub struct InputReading {
    pub stream: Arc<Stream>,
    /// Taken and, unless the sink still holds some of it back, committed; `None` before the first.
    pub position: Option<u64>,
    /// The position in the state.
    pub committed: Option<u64>,
    /// Rows taken and not yet committed.
    pub uncommitted: u64,
}

/// A range of batches per input, not empty for at least one of them.
#[derive(Clone, Debug)]
pub struct Piece {
    /// First exclusive, second inclusive, per input.
    pub ranges: Vec<(u64, u64)>,
    pub rows: Vec<u64>,
    pub trigger_us: i64,
}

impl Piece {
    pub fn row_count(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Returns the ranges as the parameters of [`inserted_of`] and its kin.
    pub fn params(&self) -> Vec<i64> {
        let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
        self.ranges
            .iter()
            .flat_map(|(from, to)| [number(*from), number(*to)])
            .collect()
    }
}

/// Borrows values as parameters.
pub fn borrowed(values: &[i64]) -> Vec<&dyn Param> {
    values.iter().map(|value| value as &dyn Param).collect()
}

impl Reading {
    /// Reads the committed positions, unless the consumer `is_new`. One that has none begins at the start of what
    /// is kept.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn new(
        (consumer, is_new): (&str, bool),
        streams: Vec<Arc<Stream>>,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let ledger = Ledger::new(session);
        let mut inputs = Vec::new();
        for stream in streams {
            let committed = match is_new {
                true => None,
                false => ledger.position(consumer, &stream.stored.name)?,
            };
            inputs.push(InputReading {
                stream,
                position: committed,
                committed,
                uncommitted: 0,
            });
        }
        Ok(Self {
            consumer: consumer.to_owned(),
            inputs,
        })
    }

    /// Says whether an input's first rows are its content, since its log does not reach back to its start.
    pub fn needs_content(&self) -> bool {
        self.inputs.iter().any(|input| {
            input.position.is_none()
                && input.stream.stored.layout == Layout::Changing
                && input.stream.head() > 0
        })
    }

    /// Returns the next batches to take, about `rows_max` rows and at least one batch, or `None` if everything has
    /// been taken. Changing streams come a batch at a time, so that every change is seen in its order.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn next_piece(&self, session: &Session, rows_max: u64) -> anyhow::Result<Option<Piece>> {
        let positions: Vec<u64> = (self.inputs.iter())
            .map(|input| input.position.unwrap_or(0))
            .collect();
        let mut piece = Piece {
            ranges: positions
                .iter()
                .map(|position| (*position, *position))
                .collect(),
            rows: vec![0; self.inputs.len()],
            trigger_us: 0,
        };
        let mut any = false;
        for (index, input) in self.inputs.iter().enumerate() {
            if input.stream.head() <= positions[index] {
                continue;
            }
            let changing = input.stream.stored.layout == Layout::Changing;
            if changing && any {
                continue;
            }
            let rows_max = if changing { ONE_BATCH } else { rows_max };
            for note in batches_after(session, &input.stream, positions[index], rows_max)? {
                piece.ranges[index].1 = note.seq;
                piece.rows[index] += note.rows;
                piece.trigger_us = piece.trigger_us.max(note.trigger_us);
                any = true;
            }
            if any && rows_max == ONE_BATCH {
                break;
            }
        }
        Ok(any.then_some(piece))
    }

    /// Returns what to take of all inputs together, or `None` if everything has been taken: of those that
    /// only grow as many batches as fit a piece, unless nothing has been taken before; of changing ones
    /// everything, since their content is that of their head.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn next_ranges(&self, session: &Session) -> anyhow::Result<Option<Piece>> {
        let first = self.inputs.iter().all(|input| input.position.is_none());
        let mut piece = Piece {
            ranges: Vec::new(),
            rows: Vec::new(),
            trigger_us: 0,
        };
        for input in &self.inputs {
            let (from, head) = (input.position.unwrap_or(0), input.stream.head());
            let notes = if head > from {
                batches_after(session, &input.stream, from, u64::MAX)?
            } else {
                Vec::new()
            };
            let whole = first || input.stream.stored.layout == Layout::Changing;
            let last = notes.last().map_or(from, |note| note.seq);
            piece.ranges.push((from, if whole { head } else { last }));
            piece.rows.push(notes.iter().map(|note| note.rows).sum());
            let trigger_us = notes.iter().map(|note| note.trigger_us).max();
            piece.trigger_us = piece.trigger_us.max(trigger_us.unwrap_or(0));
        }
        let any = piece.ranges.iter().any(|(from, to)| to > from);
        Ok((any || first).then_some(piece))
    }

    /// Writes the positions after a piece, inside the caller's transaction.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn write_positions(&self, session: &Session, ends: &[u64]) -> anyhow::Result<()> {
        let ledger = Ledger::new(session);
        for (input, end) in self.inputs.iter().zip(ends) {
            if input.committed != Some(*end) {
                ledger.set_position(&self.consumer, &input.stream.stored.name, *end)?;
            }
        }
        Ok(())
    }

    /// Notes a piece as taken, its commit still to come.
    pub fn take(&mut self, piece: &Piece) {
        for ((input, range), rows) in self.inputs.iter_mut().zip(&piece.ranges).zip(&piece.rows) {
            input.position = Some(range.1);
            input.uncommitted += rows;
        }
    }

    /// Notes the content up to `heads` as taken, its commit still to come.
    pub fn take_content(&mut self, heads: &[u64]) {
        for (input, head) in self.inputs.iter_mut().zip(heads) {
            input.position = Some(*head);
        }
    }

    /// Says whether nothing has ever been taken, though there is something to take from.
    pub fn is_fresh(&self) -> bool {
        let mut inputs = self.inputs.iter();
        !self.inputs.is_empty() && inputs.all(|input| input.position.is_none())
    }

    /// Tells the streams that everything taken is committed.
    pub fn tell(&mut self) {
        for input in &mut self.inputs {
            input.committed = input.position;
            let seq = input.position.unwrap_or(0);
            input
                .stream
                .reader_at(&self.consumer, seq, std::mem::take(&mut input.uncommitted));
        }
    }

    /// Returns the rows taken and not yet committed.
    pub fn uncommitted_rows(&self) -> u64 {
        self.inputs.iter().map(|input| input.uncommitted).sum()
    }

    /// Returns the position of each input.
    pub fn positions(&self) -> Vec<u64> {
        self.inputs
            .iter()
            .map(|input| input.position.unwrap_or(0))
            .collect()
    }
}

/// Returns the batches after `from`, oldest first, up to about `rows_max` and [`PIECE_ROWS_MAX`] rows but at least
/// one.
fn batches_after(
    session: &Session,
    stream: &Stream,
    from: u64,
    rows_max: u64,
) -> anyhow::Result<Vec<BatchNote>> {
    let notes = match stream.recent_after(from) {
        Some(notes) => notes,
        None => batches_in_state(session, &stream.stored, from)?,
    };
    let mut rows = 0;
    let mut taken = Vec::new();
    for note in notes {
        rows += note.rows;
        if rows > rows_max.min(PIECE_ROWS_MAX) && !taken.is_empty() {
            break;
        }
        taken.push(note);
    }
    Ok(taken)
}

/// Returns the batches after `from` that are in the state, oldest first, a bounded number of them.
///
/// # Errors
/// DuckDB's own.
pub fn batches_in_state(
    session: &Session,
    stored: &Stored,
    from: u64,
) -> anyhow::Result<Vec<BatchNote>> {
    let from = i64::try_from(from)?;
    let rows = session.texts(&stored.batches_sql(), &[&from])?;
    rows.into_iter()
        .map(|row| match row.as_slice() {
            [Some(seq), Some(rows), trigger] => Ok(BatchNote {
                seq: seq.parse()?,
                rows: rows.parse()?,
                trigger_us: trigger.as_deref().unwrap_or("0").parse()?,
            }),
            _ => anyhow::bail!("a batch of `{}` has no number", stored.name),
        })
        .collect()
}

/// Returns a query over the rows that came with a piece; its ranges are the parameters from `$first` on.
pub fn inserted_of(feed: &Feed, query: &str, first: usize) -> String {
    feed.with_inputs(query, &|stored| {
        stored.inserted_sql(param_of(feed, stored, first))
    })
}

/// Returns a query over the rows that went away with a piece; its ranges are the parameters from `$first`
/// on.
pub fn deleted_of(feed: &Feed, query: &str, first: usize) -> String {
    feed.with_inputs(query, &|stored| {
        stored.deleted_sql(param_of(feed, stored, first))
    })
}

fn param_of(feed: &Feed, stored: &Stored, first: usize) -> usize {
    let index = feed
        .inputs
        .iter()
        .position(|input| input.stored.name == stored.name);
    first + 2 * index.expect("the relation is an input of its feed")
}
