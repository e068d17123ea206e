//! What each entity is doing: its state, its counters, its last success and last error.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::durations::Durations;

/// The state of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum State {
    #[default]
    Starting,
    Running,
    /// Failed and about to try again.
    Retrying,
    /// Ended with nothing left to do.
    Finished,
    /// Given up.
    Failed,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// Counters and last events of one entity; written by its node, read by anybody.
#[derive(Debug, Default)]
pub struct Status {
    pub rows_in: AtomicU64,
    pub rows_out: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub requests: AtomicU64,
    pub retries: AtomicU64,
    pub errors: AtomicU64,
    pub rejected: AtomicU64,
    pub gaps: AtomicU64,
    pub ticks_skipped: AtomicU64,
    /// How long pieces of work took: a delivery's commit with its wait for readers, a consumer's step.
    pub work: Durations,
    /// The time from a batch's trigger until it was committed here, or written by a sink.
    pub latency: Durations,
    last: Mutex<Last>,
}

/// The last events of an entity.
#[derive(Clone, Debug, Default)]
pub struct Last {
    pub state: State,
    pub success: Option<DateTime<Utc>>,
    pub error: Option<(DateTime<Utc>, String)>,
    /// Errors since the last success: only the first of a streak is logged.
    pub streak: u64,
    /// An attempt has failed, and none has succeeded since.
    pub retrying: bool,
    /// Since when a piece of work is under way.
    pub busy_since: Option<DateTime<Utc>>,
    /// When the log was told of rows that did not fit, and how many have come since.
    pub told_of_rows: Option<Instant>,
    pub untold_rows: u64,
}

/// How often the log is told of rows that do not fit.
const ROWS_TOLD_EVERY: Duration = Duration::from_secs(10);

impl Status {
    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().expect("no panic happens under this lock")
    }

    pub fn last(&self) -> Last {
        self.lock().clone()
    }

    /// Notes that a piece of work begins, or with `None` that it is over.
    pub fn set_busy(&self, since: Option<DateTime<Utc>>) {
        self.lock().busy_since = since;
    }

    pub fn set_state(&self, state: State) {
        self.lock().state = state;
    }

    /// Notes that a batch has arrived here.
    pub fn arrived(&self, trigger_us: i64, now: DateTime<Utc>) {
        let latency_us = now.timestamp_micros().saturating_sub(trigger_us);
        // A clock that was set back makes it negative.
        let latency_us = u64::try_from(latency_us).unwrap_or(0);
        self.latency.observe(Duration::from_micros(latency_us));
    }

    /// Notes a success; returns how many errors came before it without one between.
    pub fn succeeded(&self, now: DateTime<Utc>) -> u64 {
        let mut last = self.lock();
        last.state = State::Running;
        last.success = Some(now);
        last.retrying = false;
        std::mem::take(&mut last.streak)
    }

    /// Notes that an attempt failed and is made again. It is no error yet.
    pub fn retrying(&self, now: DateTime<Utc>, message: &str) {
        let mut last = self.lock();
        last.state = State::Retrying;
        last.retrying = true;
        last.error = Some((now, message.to_owned()));
    }

    /// Notes that what was tried again works.
    pub fn recovered(&self) {
        let mut last = self.lock();
        if std::mem::take(&mut last.retrying) {
            last.state = State::Running;
        }
    }

    /// Notes rows that did not fit; returns how many the log is to be told of now, if it is.
    pub fn did_not_fit(&self, count: u64, now: Instant) -> Option<u64> {
        let mut last = self.lock();
        last.untold_rows += count;
        let told = last.told_of_rows;
        if told.is_some_and(|told| now.duration_since(told) < ROWS_TOLD_EVERY) {
            return None;
        }
        last.told_of_rows = Some(now);
        Some(std::mem::take(&mut last.untold_rows))
    }

    /// Returns how many rows did not fit that the log has not been told of.
    pub fn take_untold(&self) -> u64 {
        std::mem::take(&mut self.lock().untold_rows)
    }

    pub fn is_retrying(&self) -> bool {
        self.lock().retrying
    }

    /// Notes an error; returns true if it is the first since the last success.
    pub fn failed(&self, now: DateTime<Utc>, message: &str) -> bool {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut last = self.lock();
        last.state = State::Retrying;
        last.retrying = false;
        last.error = Some((now, message.to_owned()));
        last.streak += 1;
        last.streak == 1
    }
}

/// The statuses of all entities by name.
#[derive(Debug, Default)]
pub struct Board {
    statuses: Mutex<BTreeMap<String, Arc<Status>>>,
}

impl Board {
    /// Returns the status of an entity, adding it if it is new.
    pub fn status(&self, name: &str) -> Arc<Status> {
        let mut statuses = self
            .statuses
            .lock()
            .expect("no panic happens under this lock");
        match statuses.get(name) {
            Some(status) => Arc::clone(status),
            None => Arc::clone(statuses.entry(name.to_owned()).or_default()),
        }
    }

    /// Returns the status of an entity, if it has one.
    pub fn get(&self, name: &str) -> Option<Arc<Status>> {
        let statuses = self
            .statuses
            .lock()
            .expect("no panic happens under this lock");
        statuses.get(name).map(Arc::clone)
    }

    /// Returns every entity's status by name.
    pub fn all(&self) -> Vec<(String, Arc<Status>)> {
        let statuses = self
            .statuses
            .lock()
            .expect("no panic happens under this lock");
        (statuses.iter())
            .map(|(name, status)| (name.clone(), Arc::clone(status)))
            .collect()
    }

    pub fn remove(&self, name: &str) {
        let mut statuses = self
            .statuses
            .lock()
            .expect("no panic happens under this lock");
        statuses.remove(name);
    }

    /// Returns the entity that has been at one piece of work for longest, if any is, and its status.
    pub fn busiest(&self) -> Option<(String, DateTime<Utc>, Arc<Status>)> {
        let statuses = self
            .statuses
            .lock()
            .expect("no panic happens under this lock");
        (statuses.iter())
            .filter_map(|(name, status)| {
                Some((name.clone(), status.last().busy_since?, Arc::clone(status)))
            })
            .min_by_key(|(_, since, _)| *since)
    }

    /// Returns the sum of errors over all entities.
    pub fn errors(&self) -> u64 {
        let statuses = self
            .statuses
            .lock()
            .expect("no panic happens under this lock");
        statuses
            .values()
            .map(|status| status.errors.load(Ordering::Relaxed))
            .sum()
    }
}
