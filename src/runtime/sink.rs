//! A sink's node: reads its relation from the log, writes it out, commits its position afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::reading::{Reading, borrowed, deleted_of, inserted_of};
use super::shared::Shared;
use super::step::{Progress, Step};
use super::stream::{BACKLOG_ROWS_MAX, Stream};
use crate::batch::{Batch, RecordBatch, Schema, Sign};
use crate::connector::{Context, Flushed, SinkWriter};
use crate::engine::{Layout, Ledger, Param, Session};
use crate::plan::{Node, SinkPlan, Work};

/// The rows handed to a writer at once: DuckDB gives 2,048 a piece, which is small for an encoder.
const WRITE_ROWS_MAX: usize = 32_768;

/// The rows that a writer may hold back (a file not yet full): half of what its source waits at, so that
/// the source never has to wait for a file to be old enough.
const HELD_ROWS_MAX: u64 = BACKLOG_ROWS_MAX / 2;

pub struct Sink {
    name: String,
    shared: Arc<Shared>,
    session: Session,
    node: Arc<Node>,
    reading: Reading,
    output: Output,
    inserted_sql: String,
    deleted_sql: String,
    /// Whether something was written after the last durable flush.
    pending: bool,
    /// The trigger of the oldest batch written after the last durable flush.
    oldest_us: Option<i64>,
    changing: bool,
}

/// The outside end.
struct Output {
    writer: Box<dyn SinkWriter>,
    context: Context,
    schema: Schema,
}

impl Sink {
    /// # Errors
    /// The outside world refused, or DuckDB's own.
    pub fn new(
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        inputs: Vec<Arc<Stream>>,
        context: Context,
    ) -> anyhow::Result<Self> {
        let session = shared.database.session()?;
        let (name, plan) = (&node.name, sink_plan(node));
        let is_new = shared.newcomers.take(name);
        let state = match is_new {
            true => None,
            false => Ledger::new(&session).sink_state(name)?,
        };
        let changing = inputs
            .iter()
            .any(|input| input.stored.layout == Layout::Changing);
        let output = Output {
            writer: plan.connector.open(&plan.schema, state.as_deref())?,
            context,
            schema: Arc::clone(&plan.schema),
        };
        let inserted_sql = inserted_of(&plan.feed, &plan.feed.query, 1);
        // The first rows of a source are on their way; what relations bring comes later.
        if !changing {
            session.prepare(&inserted_sql)?;
        }
        Ok(Self {
            reading: Reading::new((name, is_new), inputs, &session)?,
            output,
            inserted_sql,
            deleted_sql: deleted_of(&plan.feed, &plan.feed.query, 1),
            name: name.clone(),
            shared: Arc::clone(shared),
            session,
            node: Arc::clone(node),
            pending: false,
            oldest_us: None,
            changing,
        })
    }

    /// Writes the content of a relation whose log does not reach back to its start. Content and position
    /// are read in one transaction: what is committed meanwhile comes as a change, and only as that.
    fn content(&mut self) -> anyhow::Result<Progress> {
        let sql = sink_plan(&self.node).feed.all_sql();
        let now = self.shared.now();
        let (reading, output) = (&self.reading, &mut self.output);
        let (heads, rows) = self.session.transaction(|session| {
            let ledger = Ledger::new(session);
            let mut heads = Vec::new();
            for input in &reading.inputs {
                heads.push(ledger.stream(&input.stream.stored.name)?.head);
            }
            let rows = output.write(session, (&sql, &[]), Sign::Insert, now)?;
            Ok((heads, rows))
        })?;
        self.reading.take_content(&heads);
        self.pending = true;
        // What the content is made of is not counted where it is read.
        self.count(rows, rows);
        self.flush(false)
    }

    fn count(&self, rows_in: u64, rows_out: u64) {
        let status = self.shared.board.status(&self.name);
        status.rows_in.fetch_add(rows_in, Ordering::Relaxed);
        status.rows_out.fetch_add(rows_out, Ordering::Relaxed);
        status.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Says whether the first evaluation of the sink's own relation, after which a sink without a snapshot
    /// begins, is still to come.
    fn awaits_snapshot(&mut self) -> anyhow::Result<bool> {
        if sink_plan(&self.node).snapshot || !self.reading.is_fresh() {
            return Ok(false);
        }
        let inputs = &self.reading.inputs;
        let streams = inputs.iter().map(|input| Arc::clone(&input.stream));
        self.reading = Reading::new((&self.name, false), streams.collect(), &self.session)?;
        self.reading.tell();
        Ok(self.reading.is_fresh())
    }
}

impl Output {
    /// Writes the rows of a query; returns their number.
    fn write(
        &mut self,
        session: &Session,
        (sql, params): (&str, &[&dyn Param]),
        sign: Sign,
        trigger: DateTime<Utc>,
    ) -> anyhow::Result<u64> {
        let mut held: Vec<RecordBatch> = Vec::new();
        let (mut held_rows, mut rows) = (0, 0);
        let (writer, context, schema) = (&mut self.writer, &self.context, &self.schema);
        let mut hand_over = |held: &mut Vec<RecordBatch>| -> anyhow::Result<()> {
            if held.is_empty() {
                return Ok(());
            }
            let pieces: Result<Vec<RecordBatch>, _> = (held.drain(..))
                .map(|piece| RecordBatch::try_new(Arc::clone(schema), piece.columns().to_vec()))
                .collect();
            let rows = crate::batch::compute::concat_batches(schema, &pieces?)?;
            writer.write(
                &Batch {
                    rows,
                    sign,
                    trigger,
                },
                context,
            )
        };
        session.stream(sql, params, &mut |piece| {
            held_rows += piece.num_rows();
            rows += u64::try_from(piece.num_rows())?;
            held.push(piece);
            if held_rows >= WRITE_ROWS_MAX {
                held_rows = 0;
                hand_over(&mut held)?;
            }
            Ok(())
        })?;
        hand_over(&mut held)?;
        Ok(rows)
    }
}

fn sink_plan(node: &Node) -> &SinkPlan {
    match &node.work {
        Work::Sink(plan) => plan,
        _ => unreachable!("a sink's node is made of a sink's plan"),
    }
}

impl Step for Sink {
    fn step(&mut self) -> anyhow::Result<Progress> {
        if self.awaits_snapshot()? {
            return Ok(Progress::Idle);
        }
        if self.reading.needs_content() {
            return self.content();
        }
        let rows_max = self.output.writer.rows_max();
        let Some(piece) = self.reading.next_piece(&self.session, rows_max)? else {
            return self.flush(false);
        };
        let trigger = DateTime::from_timestamp_micros(piece.trigger_us).unwrap_or_default();
        let ranges = piece.params();
        let params = borrowed(&ranges);
        let (session, output) = (&self.session, &mut self.output);
        let mut rows = 0;
        if self.changing {
            rows += output.write(session, (&self.deleted_sql, &params), Sign::Delete, trigger)?;
        }
        rows += output.write(
            session,
            (&self.inserted_sql, &params),
            Sign::Insert,
            trigger,
        )?;
        self.reading.take(&piece);
        self.pending = true;
        self.oldest_us.get_or_insert(piece.trigger_us);
        self.count(piece.row_count(), rows);
        self.flush(false)?;
        Ok(Progress::More)
    }

    fn flush(&mut self, end: bool) -> anyhow::Result<Progress> {
        if !self.pending {
            return Ok(Progress::Idle);
        }
        let end = end || self.reading.uncommitted_rows() >= HELD_ROWS_MAX;
        match self.output.writer.flush(end, &self.output.context)? {
            Flushed::Pending => {
                anyhow::ensure!(!end, "the sink still holds rows back at its end");
                Ok(Progress::Idle)
            }
            Flushed::Durable(state) => {
                let ends = self.reading.positions();
                self.session.transaction(|session| {
                    if let Some(state) = &state {
                        Ledger::new(session).set_sink_state(&self.name, state)?;
                    }
                    self.reading.write_positions(session, &ends)
                })?;
                self.reading.tell();
                self.pending = false;
                if let Some(trigger_us) = self.oldest_us.take() {
                    let status = self.shared.board.status(&self.name);
                    status.arrived(trigger_us, self.shared.now());
                }
                Ok(Progress::Idle)
            }
        }
    }
}
