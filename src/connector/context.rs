//! What a connector is handed with every blocking call: the signal to stop, the clock, a place to report to,
//! and the record that is written or played.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::batch::Reject;
use crate::record::{Player, Recorder, Tape};

/// Something worth counting or telling, while a blocking call runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt failed and is made again after the pause.
    Retry {
        attempt: u32,
        pause: Duration,
        error: String,
    },
    /// What was tried again works, though nothing has arrived yet.
    Recovered,
    /// One request was sent.
    Request,
    /// Bytes of a body or message arrived, or were sent.
    Bytes(u64),
    /// A row was refused by the other side or does not fit; the rest went on.
    Reject(Reject),
    /// Worth a line in the log, such as a poll that hit `pagination.max_pages`.
    Warning(String),
    /// What a pushing source sent from one instant to the other is missing: its connection was away.
    Gap {
        /// Which connection of the entity, such as `symbol=BTCUSDT`; empty where there is only one.
        entity_part: String,
        /// The last instant at which anything arrived.
        from: DateTime<Utc>,
        /// The instant at which the connection was there again.
        to: DateTime<Utc>,
        reason: String,
    },
}

/// The rows of a query, each by column name.
pub type QueryRows = Vec<serde_json::Map<String, serde_json::Value>>;

/// Runs a query over the pipeline's relations.
type Query = dyn Fn(&str) -> anyhow::Result<QueryRows> + Send + Sync;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The call's surroundings. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub stop: Stop,
    /// The run ends with what is there: a source that could wait for more reads to the present end and
    /// finishes.
    pub once: bool,
    report: Arc<dyn Fn(Event) + Send + Sync>,
    query: Option<Arc<Query>>,
    clock: Clock,
    tape: Option<Tape>,
    /// Under which name the record has what comes in.
    entity: Arc<str>,
    /// The trigger that the call is about.
    due: Option<DateTime<Utc>>,
}

impl Context {
    pub fn new(stop: Stop, report: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self {
            stop,
            once: false,
            report: Arc::new(report),
            query: None,
            clock: Arc::new(Utc::now),
            tape: None,
            entity: Arc::from(""),
            due: None,
        }
    }

    /// Lets connectors see the time on this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Lets connectors record what comes in, or take it from a record.
    #[must_use]
    pub fn with_tape(mut self, tape: Option<Tape>) -> Self {
        self.tape = tape;
        self
    }

    /// Names the entity that is at work.
    #[must_use]
    pub fn of_entity(mut self, entity: &str) -> Self {
        self.entity = Arc::from(entity);
        self
    }

    /// Names the trigger that the call is about.
    #[must_use]
    pub fn of_trigger(mut self, due: DateTime<Utc>) -> Self {
        self.due = Some(due);
        self
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    pub fn entity(&self) -> &str {
        &self.entity
    }

    /// Returns the trigger that the call is about, if it is known.
    pub fn due(&self) -> Option<DateTime<Utc>> {
        self.due
    }

    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// Returns what the run is recorded with, if it is.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        match &self.tape {
            Some(Tape::Recorder(recorder)) => Some(recorder),
            _ => None,
        }
    }

    /// Returns the record that is played, if one is: then nothing is asked of the network.
    pub fn player(&self) -> Option<&Arc<Player>> {
        match &self.tape {
            Some(Tape::Player(player)) => Some(player),
            _ => None,
        }
    }

    /// Blocks for `pause`, or less if the signal is given. A record that is played has its own instants: there
    /// it returns at once.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn pause(&self, pause: Duration) -> Result<(), Stopped> {
        match self.player() {
            Some(_) => self.stop.check(),
            None => self.stop.wait(pause),
        }
    }

    /// Says whether the run ends with what is there.
    #[must_use]
    pub fn with_once(mut self, once: bool) -> Self {
        self.once = once;
        self
    }

    /// Lets connectors run queries over the pipeline's relations.
    #[must_use]
    pub fn with_query(
        mut self,
        query: impl Fn(&str) -> anyhow::Result<QueryRows> + Send + Sync + 'static,
    ) -> Self {
        self.query = Some(Arc::new(query));
        self
    }

    /// Runs a query over the pipeline's relations as they are now, for `on_start_query`. Blocking.
    ///
    /// # Errors
    /// The engine's own, or that there is no engine behind this context.
    pub fn query(&self, sql: &str) -> anyhow::Result<QueryRows> {
        match &self.query {
            Some(query) => query(sql),
            None => anyhow::bail!("no queries can be run here"),
        }
    }

    /// Shows every event to `observe` before it is reported.
    #[must_use]
    pub fn observed(mut self, observe: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let report = self.report;
        self.report = Arc::new(move |event| {
            observe(&event);
            report(event);
        });
        self
    }

    pub fn report(&self, event: Event) {
        (self.report)(event);
    }
}

/// A signal that is given once and seen by all clones.
#[derive(Clone, Default)]
pub struct Stop {
    shared: Arc<Signal>,
}

/// What the clones share. The signal is looked at far more often than anybody waits for it.
#[derive(Default)]
struct Signal {
    given: AtomicBool,
    /// Held while it is given, so that nobody begins to wait in that moment.
    giving: Mutex<()>,
    changed: Condvar,
}

/// The error that a call ends with after [`Stop::stop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

impl Stop {
    /// Gives the signal and wakes every [`Stop::wait`].
    pub fn stop(&self) {
        let giving = &self.shared.giving;
        let _giving = giving.lock().expect("no panic happens under this lock");
        self.shared.given.store(true, Ordering::Release);
        self.shared.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.shared.given.load(Ordering::Acquire)
    }

    /// Returns at once, with an error if the signal was given.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_stopped() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }

    /// Blocks for `pause`, or less if the signal is given.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn wait(&self, pause: Duration) -> Result<(), Stopped> {
        let Signal {
            giving, changed, ..
        } = &*self.shared;
        let end = Instant::now() + pause;
        let mut guard = giving.lock().expect("no panic happens under this lock");
        while !self.is_stopped() {
            let Some(left) = end
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            else {
                return Ok(());
            };
            guard = changed
                .wait_timeout(guard, left)
                .expect("no panic happens under this lock")
                .0;
        }
        Err(Stopped)
    }
}
