//! A delivery that is committed, on a thread of its own, while the next one is written: half of what it costs is the commit,
//! which also waits for the disk.
//!
//! Only where a source has several batches to give at once, so that it is behind; the next of two deliveries must not
//! ask anything about the rows of the other. They are in two sessions, each of which notes in a row of its own how far
//! the stream has come.

use std::sync::Arc;

use super::{Came, Ingest, Written};
use crate::connector::{Context, Delivery};
use crate::engine::{Lane, Ledger, Session};
use crate::runtime::door::{Begun, begin, here};

/// With more than this in its log, the engine gets a commit that nobody writes beside: at such a one it moves the log
/// into the database, from 16 MiB on.
const LOG_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A session that writes deliveries.
pub(super) struct Writer {
    pub session: Session,
    lane: Lane,
}

impl Writer {
    pub fn first(session: Session) -> Self {
        let lane = Lane::First;
        Self { session, lane }
    }
}

/// What is not yet committed of the deliveries before.
#[derive(Default)]
pub(super) struct Overlap {
    /// The writer that has nothing to do.
    spare: Option<Writer>,
    commit: Option<Commit>,
    /// What could not be committed: it comes before everything else.
    failed: Option<(Delivery, Came)>,
}

/// A commit on another thread.
struct Commit {
    begun: Begun<(Writer, anyhow::Result<()>)>,
    delivery: (Delivery, Came),
    /// The number of its last batch.
    head: u64,
}

impl Overlap {
    /// Waits for the commit on the other thread.
    ///
    /// # Errors
    /// It failed, and is to be done again.
    fn wait(&mut self) -> anyhow::Result<()> {
        let Some(commit) = self.commit.take() else {
            return Ok(());
        };
        let done = commit.begun.wait().and_then(|(writer, done)| {
            self.spare = Some(writer);
            done
        });
        if done.is_err() {
            self.failed = Some(commit.delivery);
        }
        done
    }
}

impl Drop for Overlap {
    /// Whoever goes on with the stream has to know how far it has come.
    fn drop(&mut self) {
        if let Err(error) = self.wait() {
            tracing::debug!("not committed: {error:#}");
        }
        if let Some((failed, _)) = &self.failed {
            let rows = failed.decoded.rows.num_rows();
            tracing::error!(rows, "rows that were received could not be kept");
        }
    }
}

impl Ingest {
    /// Writes a delivery and begins its commit, once that of the one before is done. Returns false where nothing has
    /// been written: the delivery is to be committed by itself, which also tells what is wrong with it.
    pub(super) fn begin_commit(&mut self, delivery: &Delivery, came: Came) -> bool {
        let rows_max = delivery.batch_rows_max;
        let decoded = &delivery.decoded;
        let plain = decoded.rejects.is_empty() && delivery.cursor.is_none();
        let Some(sql) = &self.batches_sql else {
            return false;
        };
        if !plain
            || decoded.rows.num_rows() <= rows_max
            || self.overlap.failed.is_some()
            || self.shared.database.log_bytes() > LOG_BYTES_MAX
        {
            return false;
        }
        let begun = self.write_beside(sql, delivery).and_then(|written| {
            let waited = self.overlap.wait().and_then(|()| self.spare());
            match waited {
                Ok(spare) => Ok((written, spare)),
                Err(error) => self.writer.session.end(Err(error)),
            }
        });
        match begun {
            Ok((written, spare)) => {
                let writer = std::mem::replace(&mut self.writer, spare);
                self.end_beside(writer, written, (delivery.clone(), came));
                true
            }
            Err(error) => {
                tracing::debug!(entity = %self.name, "a delivery is committed by itself: {error:#}");
                false
            }
        }
    }

    /// Waits until everything is committed, and retries for as long as the state cannot take it.
    ///
    /// # Errors
    /// As [`Ingest::commit`].
    pub fn settle(&mut self, context: &Context) -> anyhow::Result<()> {
        if let Err(error) = self.overlap.wait() {
            tracing::debug!(entity = %self.name, "to be committed again: {error:#}");
        }
        let Some((failed, came)) = self.overlap.failed.take() else {
            return Ok(());
        };
        let committed = self.commit_now(&failed, came, context);
        if committed.is_err() {
            self.overlap.failed = Some((failed, came));
        }
        committed
    }

    /// Writes a delivery after those that are not committed yet, in a transaction that stays open.
    fn write_beside(&self, sql: &str, delivery: &Delivery) -> anyhow::Result<Written> {
        let Writer { session, lane } = &self.writer;
        let head = self.head();
        session.begin()?;
        let rows = &delivery.decoded.rows;
        let written = self.write_together(session, sql, rows, (delivery, head));
        let noted = written.and_then(|written| {
            let head = written.head().unwrap_or(head);
            Ledger::new(session).advance_in(*lane, &self.name, head)?;
            Ok(written)
        });
        match noted {
            Ok(written) => Ok(written),
            Err(error) => session.end(Err(error)),
        }
    }

    /// Returns the number of the last batch that is written.
    fn head(&self) -> u64 {
        let commit = self.overlap.commit.as_ref();
        commit.map_or_else(|| self.stream.head(), |commit| commit.head)
    }

    /// Returns the writer that has nothing to do.
    fn spare(&mut self) -> anyhow::Result<Writer> {
        if let Some(spare) = self.overlap.spare.take() {
            return Ok(spare);
        }
        let lane = match self.writer.lane {
            Lane::First => Lane::Second,
            Lane::Second => Lane::First,
        };
        let session = self.shared.database.session()?;
        Ok(Writer { session, lane })
    }

    /// Commits what a writer wrote, on another thread.
    fn end_beside(&mut self, writer: Writer, written: Written, delivery: (Delivery, Came)) {
        let head = written.head().unwrap_or_else(|| self.head());
        let (shared, stream) = (Arc::clone(&self.shared), Arc::clone(&self.stream));
        let (name, came) = (self.name.clone(), delivery.1);
        let begun = begin("commit", move || {
            let ended = here(|| writer.session.end(Ok(()))).and_then(|ended| ended);
            if ended.is_ok() {
                written.tell((0, came), (&shared, &name, &stream));
            }
            (writer, ended)
        });
        self.overlap.commit = Some(Commit {
            begun,
            delivery,
            head,
        });
    }
}
