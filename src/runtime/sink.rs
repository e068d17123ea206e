//! A sink's node: reads its relation from the log, writes it out, commits its position afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::reading::{Piece, Reading, borrowed, deleted_of, inserted_of};
use super::shared::Shared;
use super::step::{Progress, Step};
use super::stream::Stream;
use crate::batch::{Batch, RecordBatch, Sign};
use crate::connector::{Context, Flushed, SinkWriter};
use crate::engine::{Layout, Ledger, Param, Session};
use crate::plan::{Node, SinkPlan, Work};

/// The rows handed to a writer at once: DuckDB gives 2,048 a piece, which is small for an encoder.
const WRITE_ROWS_MAX: usize = 32_768;

pub struct Sink {
    name: String,
    shared: Arc<Shared>,
    session: Session,
    node: Arc<Node>,
    reading: Reading,
    writer: Box<dyn SinkWriter>,
    context: Context,
    inserted_sql: String,
    deleted_sql: String,
    /// Whether something was written after the last durable flush.
    pending: bool,
    changing: bool,
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
        let state = Ledger::new(&session).sink_state(name)?;
        let changing = inputs
            .iter()
            .any(|input| input.stored.layout == Layout::Changing);
        Ok(Self {
            reading: Reading::new(name, inputs, &session)?,
            writer: plan.connector.open(&plan.schema, state.as_deref())?,
            inserted_sql: inserted_of(&plan.feed, &plan.feed.query, 1),
            deleted_sql: deleted_of(&plan.feed, &plan.feed.query, 1),
            name: name.clone(),
            shared: Arc::clone(shared),
            session,
            node: Arc::clone(node),
            context,
            pending: false,
            changing,
        })
    }

    /// Writes the content of a relation whose log does not reach back to its start.
    fn content(&mut self) -> anyhow::Result<Progress> {
        let heads: Vec<u64> = self
            .reading
            .inputs
            .iter()
            .map(|input| input.stream.head())
            .collect();
        if sink_plan(&self.node).snapshot {
            let sql = sink_plan(&self.node).feed.all_sql();
            let now = self.shared.now();
            self.write(&sql, &[], Sign::Insert, now)?;
        }
        self.skip_to(&heads)
    }

    /// Takes everything up to `heads` as read.
    fn skip_to(&mut self, heads: &[u64]) -> anyhow::Result<Progress> {
        let piece = Piece {
            ranges: self
                .reading
                .positions()
                .into_iter()
                .zip(heads.iter().copied())
                .collect(),
            rows: vec![0; heads.len()],
            trigger_us: 0,
        };
        self.reading.take(&piece);
        self.pending = true;
        self.flush(false)
    }

    fn write(
        &mut self,
        sql: &str,
        params: &[&dyn Param],
        sign: Sign,
        trigger: DateTime<Utc>,
    ) -> anyhow::Result<u64> {
        let mut held: Vec<RecordBatch> = Vec::new();
        let (mut held_rows, mut rows) = (0, 0);
        let (writer, context, schema) = (
            &mut self.writer,
            &self.context,
            &sink_plan(&self.node).schema,
        );
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
        self.session.stream(sql, params, &mut |piece| {
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
        if self.reading.needs_content() {
            return self.content();
        }
        let fresh = self
            .reading
            .inputs
            .iter()
            .all(|input| input.position.is_none());
        if fresh && !sink_plan(&self.node).snapshot && !self.reading.inputs.is_empty() {
            let heads: Vec<u64> = self
                .reading
                .inputs
                .iter()
                .map(|input| input.stream.head())
                .collect();
            return self.skip_to(&heads);
        }
        let Some(piece) = self.reading.next_piece(&self.session, usize::MAX)? else {
            return self.flush(false);
        };
        let trigger = DateTime::from_timestamp_micros(piece.trigger_us).unwrap_or_default();
        let ranges = piece.params();
        let params = borrowed(&ranges);
        let mut rows = 0;
        if self.changing {
            rows += self.write(&self.deleted_sql.clone(), &params, Sign::Delete, trigger)?;
        }
        rows += self.write(&self.inserted_sql.clone(), &params, Sign::Insert, trigger)?;
        self.reading.take(&piece);
        self.pending = true;
        let status = self.shared.board.status(&self.name);
        status
            .rows_in
            .fetch_add(piece.row_count(), Ordering::Relaxed);
        status.rows_out.fetch_add(rows, Ordering::Relaxed);
        status.batches.fetch_add(1, Ordering::Relaxed);
        self.flush(false)?;
        Ok(Progress::More)
    }

    fn flush(&mut self, end: bool) -> anyhow::Result<Progress> {
        if !self.pending {
            return Ok(Progress::Idle);
        }
        match self.writer.flush(end, &self.context)? {
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
                Ok(Progress::Idle)
            }
        }
    }

    fn failing(&mut self) {
        self.reading.tell_failing();
    }
}
