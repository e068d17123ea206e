//! Deliveries of a connector into the state: rows, cursor and rejects in one transaction.

mod overlap;
mod sift;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use overlap::{Overlap, Writer};

use super::lateness::Lateness;
use super::reading::batches_in_state;
use super::shared::Shared;
use super::stream::{BatchNote, Stream};
use crate::batch::RecordBatch;
use crate::batch::Reject;
use crate::connector::{Context, Delivery, OnError, Stop};
use crate::engine::{ErrorRecord, Ledger, Param, Session, SqlFault, Stamp, upsert};
use crate::plan::SourcePlan;

/// The pause after a commit that the state refused (a full disk), doubled up to the bound below.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often a commit is tried in a run that reads once.
const ONCE_ATTEMPTS_MAX: u32 = 5;

/// How long a source sleeps between looks at a reader that is too far behind.
const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// Puts the deliveries of one source into the state.
pub struct Ingest {
    shared: Arc<Shared>,
    writer: Writer,
    name: String,
    stream: Arc<Stream>,
    rows_sql: String,
    append_sql: String,
    /// Adds several batches at once, where nothing is to be asked between them.
    batches_sql: Option<String>,
    key: Option<Vec<String>>,
    not_null: Vec<String>,
    on_error: OnError,
    lateness: Option<Lateness>,
    overlap: Overlap,
}

/// When a delivery came.
#[derive(Clone, Copy)]
struct Came {
    instant: Instant,
    trigger_us: i64,
}

/// What a transaction wrote.
#[derive(Default)]
struct Written {
    /// Each batch, with the watermark after it.
    notes: Vec<(BatchNote, Option<i64>)>,
    /// Rows that came, late ones included.
    rows: u64,
    late: u64,
}

impl Written {
    fn none_of(rows: &RecordBatch) -> Self {
        Self {
            rows: rows.num_rows() as u64,
            ..Self::default()
        }
    }

    /// Returns the number of the last batch.
    fn head(&self) -> Option<u64> {
        self.notes.last().map(|(note, _)| note.seq)
    }

    /// Counts what is committed, and wakes the readers.
    fn tell(
        &self,
        (rejects, came): (usize, Came),
        (shared, name, stream): (&Shared, &str, &Stream),
    ) {
        let status = shared.board.status(name);
        let rejects = u64::try_from(rejects).unwrap_or(u64::MAX);
        let count = |counter: &AtomicU64, rows| counter.fetch_add(rows, Ordering::Relaxed);
        count(&status.rows_in, self.rows + rejects);
        count(&status.rows_out, self.rows - self.late);
        count(&status.rejected, rejects + self.late);
        for (note, watermark) in &self.notes {
            stream.advance(*note);
            if let Some(watermark) = watermark {
                stream.set_watermark(note.seq, *watermark);
            }
        }
        status.work.observe(came.instant.elapsed());
        status.arrived(came.trigger_us, shared.now());
        status.recovered();
    }
}

fn note(stamp: Stamp, rows: usize) -> BatchNote {
    BatchNote {
        seq: stamp.seq,
        rows: rows as u64,
        trigger_us: stamp.trigger_us,
    }
}

impl Ingest {
    /// # Errors
    /// The engine gives no session.
    pub fn new(
        shared: &Arc<Shared>,
        name: &str,
        plan: &SourcePlan,
        stream: &Arc<Stream>,
    ) -> anyhow::Result<Self> {
        let session = shared.database.session()?;
        let rows_sql = &plan.ingest.rows_sql;
        let watermark = plan.ingest.watermark.as_ref();
        let lateness = watermark
            .map(|watermark| Lateness::new(&session, &plan.stored, watermark, rows_sql))
            .transpose()?;
        let in_time = lateness
            .as_ref()
            .map(|lateness| lateness.in_time_sql(rows_sql));
        let in_time = in_time.as_ref().unwrap_or(rows_sql);
        let plain = plan.key.is_none() && lateness.is_none() && plan.ingest.not_null.is_empty();
        Ok(Self {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            stream: Arc::clone(stream),
            append_sql: plan.stored.append_sql(in_time, 3, 2),
            batches_sql: plain.then(|| plan.stored.append_batches_sql(rows_sql, 3, 2)),
            rows_sql: rows_sql.clone(),
            writer: Writer::first(session),
            lateness,
            key: plan.key.clone(),
            not_null: plan.ingest.not_null.clone(),
            on_error: plan.connector.on_error(),
            overlap: Overlap::default(),
        })
    }

    /// Commits a delivery and wakes the readers, or begins to: [`Ingest::settle`] waits for that. Blocks while a
    /// reader is too far behind, up to a stop, and retries for as long as the state cannot take it.
    ///
    /// # Errors
    /// The signal to stop, a row that does not fit under `on_error = 'fail'`, or, in a run that reads once, what the
    /// state said some times in a row.
    pub fn commit(&mut self, delivery: &Delivery, context: &Context) -> anyhow::Result<()> {
        let came = Came {
            instant: Instant::now(),
            trigger_us: delivery.trigger.timestamp_micros(),
        };
        self.wait_for_readers(&context.stop);
        if self.begin_commit(delivery, came) {
            return Ok(());
        }
        self.settle(context)?;
        self.commit_now(delivery, came, context)
    }

    fn commit_now(
        &mut self,
        delivery: &Delivery,
        came: Came,
        context: &Context,
    ) -> anyhow::Result<()> {
        let mut pause = PAUSE_FIRST;
        for attempt in 1.. {
            let Err(error) = self.try_commit(delivery, came) else {
                break;
            };
            // Somebody waits for the end of a run that reads once.
            let last = context.once && attempt >= ONCE_ATTEMPTS_MAX;
            if last || error.is::<RowsRefused>() || is_fatal(&error) {
                return Err(error);
            }
            self.shared.note_error(&self.name, "commit", &error, None);
            context.stop.wait(pause)?;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Blocks while a reader is too far behind, but not at a stop: a source may hold what comes only once.
    fn wait_for_readers(&self, stop: &Stop) {
        let mut told = false;
        while let Some(reader) = self.stream.overfull() {
            if !told {
                tracing::warn!(entity = %self.name, %reader, "waiting for a reader that is far behind");
                told = true;
            }
            if stop.wait(BACKLOG_PAUSE).is_err() {
                return;
            }
        }
    }

    fn try_commit(&mut self, delivery: &Delivery, came: Came) -> anyhow::Result<()> {
        let decoded = &delivery.decoded;
        if self.on_error == OnError::Fail
            && let Some(reject) = decoded.rejects.first()
        {
            return Err(RowsRefused(reject.message.clone()).into());
        }
        let mut rejects: Vec<Reject> = decoded.rejects.clone();
        let rows = decoded.rows.clone();
        match self.write(&rows, &rejects, delivery) {
            Ok(written) => {
                self.committed(&written, &rejects, came);
                Ok(())
            }
            Err(error)
                if error
                    .downcast_ref::<SqlFault>()
                    .is_some_and(SqlFault::is_of_rows) =>
            {
                // Some row's generated column cannot be computed: find which, and let the others pass.
                let kept = self.sift(&rows, delivery, &mut rejects)?;
                if self.on_error == OnError::Fail
                    && let Some(reject) = rejects.last()
                {
                    return Err(RowsRefused(reject.message.clone()).into());
                }
                let written = self.write(&kept, &rejects, delivery)?;
                self.committed(&written, &rejects, came);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn committed(&mut self, written: &Written, rejects: &[Reject], came: Came) {
        if let Some(lateness) = &mut self.lateness {
            let last = written.notes.last();
            lateness.committed(last.and_then(|(_, watermark)| *watermark), written.late);
        }
        let of = (&*self.shared, self.name.as_str(), &*self.stream);
        written.tell((rejects.len(), came), of);
        if let Some(first) = rejects.first() {
            let count = u64::try_from(rejects.len()).unwrap_or(u64::MAX);
            let name = &self.name;
            (self.shared).note_rejects(name, count, &first.message, self.on_error);
        }
    }

    /// Writes rows, rejects and cursor in one transaction.
    fn write(
        &self,
        rows: &RecordBatch,
        rejects: &[Reject],
        delivery: &Delivery,
    ) -> anyhow::Result<Written> {
        self.writer.session.transaction(|session| {
            let ledger = Ledger::new(session);
            if self.on_error == OnError::DeadLetter {
                ledger.record_errors(&self.shared.records_of(&self.name, rejects))?;
            }
            let written = match &self.batches_sql {
                Some(sql) if rows.num_rows() > delivery.batch_rows_max => {
                    self.write_together(session, sql, rows, (delivery, self.stream.head()))?
                }
                _ => self.write_each(session, rows, delivery)?,
            };
            if !written.notes.is_empty() || delivery.cursor.is_some() {
                let head = written.head().unwrap_or_else(|| self.stream.head());
                ledger.advance(&self.name, head, delivery.cursor.as_deref())?;
            }
            Ok(written)
        })
    }

    /// Writes batch after batch.
    fn write_each(
        &self,
        session: &Session,
        rows: &RecordBatch,
        delivery: &Delivery,
    ) -> anyhow::Result<Written> {
        let ledger = Ledger::new(session);
        let mut seq = self.stream.head() + 1;
        let mut watermark = self.lateness.as_ref().map(Lateness::watermark);
        let mut written = Written::none_of(rows);
        for start in (0..rows.num_rows()).step_by(delivery.batch_rows_max.max(1)) {
            let count = delivery.batch_rows_max.min(rows.num_rows() - start);
            let stamp = Stamp {
                seq,
                trigger_us: delivery.trigger.timestamp_micros(),
            };
            let batch = rows.slice(start, count);
            let (changed, late) = self.append(session, &batch, (stamp, watermark))?;
            if changed > 0 {
                self.check_not_null(session, seq)?;
                watermark = self.rise(session, seq, watermark)?;
                written.notes.push((note(stamp, changed), watermark));
                seq += 1;
            }
            written.late += u64::try_from(late.len())?;
            if self.on_error != OnError::Skip {
                ledger.record_errors(&self.late_records(&late))?;
            }
        }
        Ok(written)
    }

    /// Writes several batches, those after `head`, by one statement: each takes the engine as long as a thousand rows.
    fn write_together(
        &self,
        session: &Session,
        sql: &str,
        rows: &RecordBatch,
        (delivery, head): (&Delivery, u64),
    ) -> anyhow::Result<Written> {
        let rows_max = delivery.batch_rows_max;
        let trigger_us = delivery.trigger.timestamp_micros();
        let (first, size) = (i64::try_from(head + 1)?, i64::try_from(rows_max)?);
        let changed = session.execute_over(sql, rows, &[&trigger_us, &first, &size])?;
        let mut written = Written::none_of(rows);
        if changed != rows.num_rows() {
            // A generated column made more or fewer rows of them.
            let mut from = head;
            loop {
                let notes = batches_in_state(session, &self.stream.stored, from)?;
                let Some(last) = notes.last() else {
                    return Ok(written);
                };
                from = last.seq;
                written
                    .notes
                    .extend(notes.into_iter().map(|note| (note, None)));
            }
        }
        for (seq, start) in (head + 1..).zip((0..changed).step_by(rows_max)) {
            let note = note(Stamp { seq, trigger_us }, rows_max.min(changed - start));
            written.notes.push((note, None));
        }
        Ok(written)
    }

    /// Returns the watermark after a batch.
    fn rise(
        &self,
        session: &Session,
        seq: u64,
        before: Option<i64>,
    ) -> anyhow::Result<Option<i64>> {
        let of_batch = self.key.is_none().then_some(seq);
        let lateness = self.lateness.as_ref().zip(before);
        let after = lateness.map(|(lateness, before)| lateness.advance(session, of_batch, before));
        after.transpose()
    }

    /// Writes the rows of one batch that are in time; returns how many rows changed, and those that are late.
    fn append(
        &self,
        session: &Session,
        rows: &RecordBatch,
        (stamp, watermark): (Stamp, Option<i64>),
    ) -> anyhow::Result<(usize, Vec<String>)> {
        let (number, trigger_us) = (i64::try_from(stamp.seq)?, stamp.trigger_us);
        let mut params: Vec<&dyn Param> = vec![&trigger_us, &number];
        let lateness = self.lateness.as_ref().zip(watermark);
        if let Some(key) = &self.key {
            let sql = format!("CREATE OR REPLACE TEMP TABLE next AS {}", self.rows_sql);
            session.execute_over(&sql, rows, &params[..1])?;
            let late =
                lateness.map(|(lateness, watermark)| lateness.take_from_next(session, watermark));
            let late = late.transpose()?.unwrap_or_default();
            let change = upsert(session, &self.stream.stored, key, stamp)?;
            return Ok((change.deleted + change.inserted, late));
        }
        params.extend(watermark.iter().map(|watermark| watermark as &dyn Param));
        let changed = session.execute_over(&self.append_sql, rows, &params)?;
        let late = match lateness {
            Some((lateness, watermark)) if changed < rows.num_rows() => {
                lateness.late_rows(session, rows, (trigger_us, watermark))?
            }
            _ => Vec::new(),
        };
        Ok((changed, late))
    }

    fn late_records(&self, late: &[String]) -> Vec<ErrorRecord> {
        let now = self.shared.now();
        let record = |row: &String| ErrorRecord {
            time: now,
            entity: self.name.clone(),
            stage: "late",
            message: "the row is earlier than the watermark".to_owned(),
            payload: Some(self.shared.mask(row)),
        };
        late.iter().map(record).collect()
    }

    /// Refuses NULL in columns that the engine computes and the user declared NOT NULL.
    fn check_not_null(&self, session: &Session, seq: u64) -> anyhow::Result<()> {
        let table = self.stream.stored.data();
        match self.key {
            Some(_) => self.refuse_nulls(session, &table),
            None => {
                let batch = format!("(FROM {table} WHERE {} = {seq})", crate::engine::SEQ);
                self.refuse_nulls(session, &batch)
            }
        }
    }

    /// As [`Ingest::check_not_null`], in `rows`, what stands behind FROM.
    fn refuse_nulls(&self, session: &Session, rows: &str) -> anyhow::Result<()> {
        for column in &self.not_null {
            let name = crate::sql::quote_ident(column);
            let sql = format!("SELECT count(*) FROM {rows} WHERE {name} IS NULL");
            if session.number(&sql, &[])?.unwrap_or(0) > 0 {
                let mut fault =
                    SqlFault::of(&format!("column `{column}` is NULL, but it is NOT NULL"));
                fault.class = "Constraint".into();
                return Err(fault.into());
            }
        }
        Ok(())
    }
}

fn is_fatal(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<SqlFault>()
        .is_some_and(SqlFault::is_fatal)
}

/// A row does not fit, and the user asked for that to fail the source.
#[derive(Debug)]
struct RowsRefused(String);

impl std::fmt::Display for RowsRefused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "a row was refused (`on_error = 'fail'`): {}",
            self.0
        )
    }
}

impl std::error::Error for RowsRefused {}
