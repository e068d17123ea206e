//! What all nodes of a running pipeline share: database, clock, secrets, statuses, the place for errors.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use async_channel::{Receiver, Sender};
use chrono::{DateTime, SecondsFormat, Utc};

use super::newcomers::Newcomers;
use super::pool::Pool;
use super::status::Board;
use super::stream::{BatchNote, Stream};
use crate::batch::Reject;
use crate::connector::{Clock, Context, Event, OnError, QueryRows, Stop};
use crate::engine::{Database, ErrorRecord, Ledger, Session, SqlFault, Stamp};
use crate::record::{Recorder, Tape};
use crate::secret::Secrets;

/// Of the reason why a row did not fit, the log has this many bytes: it may have the row in it.
const REASON_BYTES_MAX: usize = 300;

/// Rows of an `on_start_query`: one connection each, so more is a mistake.
const QUERY_ROWS_MAX: usize = 10_000;

/// Returns where rows are that did not fit, as a part of a message.
fn kept(on_error: OnError) -> &'static str {
    match on_error {
        OnError::DeadLetter => ", see omlsp_errors",
        OnError::Skip | OnError::Fail => " and are left out",
    }
}

pub struct Shared {
    pub database: Database,
    pub board: Board,
    pub newcomers: Newcomers,
    /// On which lookups are asked.
    pub askers: Pool,
    /// Passed in, so that a replay can say otherwise.
    clock: Clock,
    /// What is recorded, or played.
    tape: Option<Tape>,
    secrets: RwLock<Secrets>,
    /// Writes errors outside the transactions of rows.
    errors: Mutex<Session>,
    /// Has a message, or is closed, once the engine has given the database up.
    lost: (Sender<()>, Receiver<()>),
}

impl Shared {
    /// # Errors
    /// The engine gives no session.
    pub fn new(database: Database, secrets: Secrets, clock: Clock) -> anyhow::Result<Self> {
        let errors = Mutex::new(database.session()?);
        Ok(Self {
            database,
            board: Board::default(),
            newcomers: Newcomers::default(),
            askers: Pool::default(),
            clock,
            tape: None,
            secrets: RwLock::new(secrets),
            errors,
            lost: async_channel::bounded(1),
        })
    }

    /// Has connectors record what comes in, or take it from a record.
    #[must_use]
    pub fn with_tape(mut self, tape: Tape) -> Self {
        let secrets = self
            .secrets
            .read()
            .expect("no panic happens under this lock");
        match &tape {
            Tape::Recorder(recorder) => recorder.hide(secrets.values()),
            Tape::Player(player) => player.hide(secrets.values()),
        }
        drop(secrets);
        self.tape = Some(tape);
        self
    }

    /// Returns what the run is recorded with, if it is.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        match &self.tape {
            Some(Tape::Recorder(recorder)) => Some(recorder),
            _ => None,
        }
    }

    /// The engine's client can panic under this lock. Every statement here is a transaction of its own, so
    /// that the session is as good as before, and one panic must not take all reports down.
    fn errors(&self) -> std::sync::MutexGuard<'_, Session> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Replaces secrets by `***`.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self
            .secrets
            .read()
            .expect("no panic happens under this lock");
        secrets.mask(text)
    }

    /// Changes what [`Shared::mask`] hides, after a secret has come or gone.
    pub fn set_secrets(&self, secrets: Secrets) {
        if let Some(recorder) = self.recorder() {
            recorder.hide(secrets.values());
        }
        let mut guard = self
            .secrets
            .write()
            .expect("no panic happens under this lock");
        *guard = secrets;
    }

    /// Records an error: in `omlsp_errors`, in the status, and in the log if it is the first of a streak.
    pub fn note_error(
        &self,
        entity: &str,
        stage: &'static str,
        error: &anyhow::Error,
        payload: Option<String>,
    ) {
        let message = self.mask(&format!("{error:#}"));
        let mut causes = error.chain();
        if causes.any(|cause| cause.downcast_ref().is_some_and(SqlFault::is_fatal)) {
            self.note_lost();
        }
        if self.board.status(entity).failed(self.now(), &message) {
            tracing::error!(%entity, stage, "{message}");
        } else {
            tracing::debug!(%entity, stage, "{message}");
        }
        self.record(entity, stage, message, payload);
    }

    fn note_lost(&self) {
        // A full channel says it already, and it cannot be closed: its receiver is here.
        if self.lost.0.try_send(()).is_ok() {
            tracing::debug!("the engine has given the database up");
        }
    }

    /// Ends once the engine has given the database up: nothing can be read or written any more.
    pub async fn state_lost(&self) {
        // The sender lives as long as the receiver, so this is a message.
        self.lost.1.recv().await.unwrap_or_default();
    }

    /// Notes that an entity works, and says so in the log if it did not before.
    pub fn note_success(&self, entity: &str) {
        let failures = self.board.status(entity).succeeded(self.now());
        if failures > 0 {
            tracing::info!(%entity, failures, "works again");
        }
    }

    /// Sets rows aside that did not fit: they are counted, told in the log, and recorded if they are to be kept.
    pub fn set_aside(&self, entity: &str, rejects: &[Reject], on_error: OnError) {
        let Some(first) = rejects.first() else {
            return;
        };
        let count = u64::try_from(rejects.len()).unwrap_or(u64::MAX);
        let rejected = &self.board.status(entity).rejected;
        rejected.fetch_add(count, Ordering::Relaxed);
        if on_error == OnError::DeadLetter
            && let Err(error) = self.record_rejects(entity, rejects)
        {
            tracing::error!(%entity, "cannot record rows that did not fit in the state: {error:#}");
        }
        self.note_rejects(entity, count, &first.message, on_error);
    }

    /// Makes the lines of `omlsp_errors` for rows that do not fit, what is secret in them masked.
    pub fn records_of(&self, entity: &str, rejects: &[Reject]) -> Vec<ErrorRecord> {
        let time = self.now();
        let record = |reject: &Reject| ErrorRecord {
            time,
            entity: entity.to_owned(),
            stage: "decode",
            message: self.mask(&reject.message),
            payload: Some(self.mask(&reject.payload)),
        };
        rejects.iter().map(record).collect()
    }

    /// Adds the rows to `omlsp_errors`, all in one transaction.
    fn record_rejects(&self, entity: &str, rejects: &[Reject]) -> anyhow::Result<()> {
        let records = self.records_of(entity, rejects);
        // One of its own: a panic in a transaction must not leave the one for all other errors in it.
        let session = self.database.session()?;
        session.transaction(|session| Ledger::new(session).record_errors(&records))
    }

    /// Says in the log that rows did not fit, and why the first of them: at once, and of those that follow soon when
    /// some time has passed.
    pub fn note_rejects(&self, entity: &str, count: u64, first: &str, on_error: OnError) {
        let told = self.board.status(entity).did_not_fit(count, Instant::now());
        if let Some(rows) = told {
            let reason = self.mask(first);
            let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
            let kept = kept(on_error);
            tracing::warn!(%entity, rows, "rows did not fit{kept}: {reason}");
        }
    }

    /// Says in the log how many rows did not fit since that was said last.
    pub fn note_last_rejects(&self, entity: &str, on_error: OnError) {
        let rows = self.board.status(entity).take_untold();
        if rows > 0 {
            let kept = kept(on_error);
            tracing::warn!(%entity, rows, "more rows did not fit{kept}");
        }
    }

    /// Adds a line to `omlsp_errors`, its payload masked here; whoever says the message in the log too has masked it.
    fn record(&self, entity: &str, stage: &'static str, message: String, payload: Option<String>) {
        let record = ErrorRecord {
            time: self.now(),
            entity: entity.to_owned(),
            stage,
            message,
            payload: payload.map(|payload| self.mask(&payload)),
        };
        let session = self.errors();
        if let Err(error) = Ledger::new(&session).record_errors(&[record]) {
            tracing::error!(%entity, "cannot record an error in the state: {error:#}");
        }
    }

    /// Deletes old errors beyond their bound.
    pub fn trim_errors(&self) {
        let session = self.errors();
        if let Err(error) = Ledger::new(&session).trim_errors() {
            tracing::warn!("cannot trim omlsp_errors: {error:#}");
        }
    }

    /// Makes the surroundings of a connector's call.
    pub fn context(self: &Arc<Self>, entity: &str, stop: &Stop) -> Context {
        let (shared, name) = (Arc::clone(self), entity.to_owned());
        let reporter = move |event| shared.report(&name, event);
        let shared = Arc::clone(self);
        Context::new(stop.clone(), reporter)
            .with_query(move |sql| shared.query_rows(sql))
            .with_clock(Arc::clone(&self.clock))
            .of_entity(entity)
    }

    /// As [`Shared::context`], for what comes in: it is recorded, or taken from a record.
    pub fn context_on_tape(self: &Arc<Self>, entity: &str, stop: &Stop) -> Context {
        self.context(entity, stop).with_tape(self.tape.clone())
    }

    fn report(&self, entity: &str, event: Event) {
        use std::sync::atomic::Ordering::Relaxed;
        let status = self.board.status(entity);
        match event {
            Event::Request => {
                status.requests.fetch_add(1, Relaxed);
            }
            Event::Bytes(count) => {
                status.bytes.fetch_add(count, Relaxed);
            }
            Event::Retry {
                attempt,
                pause,
                error,
            } => {
                status.retries.fetch_add(1, Relaxed);
                let error = self.mask(&error);
                status.retrying(self.now(), &error);
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                if attempt <= 1 {
                    tracing::warn!(%entity, attempt, pause_ms, "trying again: {error}");
                } else {
                    tracing::debug!(%entity, attempt, pause_ms, "trying again: {error}");
                }
            }
            Event::Recovered => status.recovered(),
            Event::Reject(Reject { message, payload }) => {
                status.rejected.fetch_add(1, Relaxed);
                let message = self.mask(&message);
                tracing::warn!(%entity, "a row was refused: {message}");
                self.record(entity, "write", message, Some(payload));
            }
            Event::Gap {
                entity_part,
                from,
                to,
                reason,
            } => {
                status.gaps.fetch_add(1, Relaxed);
                let part = match entity_part.as_str() {
                    "" => String::new(),
                    part => format!(" of {part}"),
                };
                let instant =
                    |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
                let (from, to) = (instant(from), instant(to));
                let text = self.mask(&format!("gap{part} from {from} to {to}: {reason}"));
                tracing::warn!(%entity, "{text}");
                self.record(entity, "gap", text, None);
            }
            Event::Warning(text) => {
                let text = self.mask(&text);
                tracing::warn!(%entity, "{text}");
                self.record(entity, "warning", text, None);
            }
        }
    }

    fn query_rows(&self, sql: &str) -> anyhow::Result<QueryRows> {
        let session = self.database.session()?;
        let mut rows = QueryRows::new();
        session.stream(sql, &[], &mut |piece| {
            let mut lines = Vec::new();
            let encoder = crate::format::JsonEncoder::new(piece.schema_ref(), &[])?;
            encoder.encode_lines(&piece, &mut lines)?;
            for line in lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                anyhow::ensure!(
                    rows.len() < QUERY_ROWS_MAX,
                    "the query gives more than {QUERY_ROWS_MAX} rows"
                );
                rows.push(serde_json::from_slice(line)?);
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Counts what a kept relation has committed, and wakes its readers where rows have changed.
    pub fn committed(&self, stream: &Stream, (changed, rows_in): (usize, u64), stamp: Stamp) {
        let rows = u64::try_from(changed).unwrap_or(u64::MAX);
        let status = self.board.status(&stream.stored.name);
        status.rows_in.fetch_add(rows_in, Ordering::Relaxed);
        status.rows_out.fetch_add(rows, Ordering::Relaxed);
        status.batches.fetch_add(1, Ordering::Relaxed);
        status.arrived(stamp.trigger_us, self.now());
        if changed > 0 {
            stream.advance(BatchNote {
                seq: stamp.seq,
                rows,
                trigger_us: stamp.trigger_us,
            });
        }
    }
}
