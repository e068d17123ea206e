//! What runs on behalf of a client, and how it is made to end before its time.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::connector::Stop;
use crate::engine::Interrupt;

/// How often a query that is to end is interrupted: an interrupt that comes just before the engine begins
/// is forgotten by it.
const INTERRUPT_EVERY: Duration = Duration::from_millis(20);

/// Why a statement ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Cancelled,
    TimedOut(Duration),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => formatter.write_str("cancelled"),
            Self::TimedOut(timeout) => write!(
                formatter,
                "the statement took longer than `statement_timeout` ({timeout:?})"
            ),
        }
    }
}

impl std::error::Error for Ended {}

#[derive(Default)]
struct Inner {
    running: Option<Running>,
    ended: Option<Ended>,
    over: bool,
}

struct Running {
    interrupt: Option<Interrupt>,
    stop: Stop,
    timeout: Option<(Instant, Duration)>,
}

/// The handle of one script: the client cancels through it, the script asks it whether to go on.
#[derive(Default)]
pub struct Control {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Control {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic happens under this lock")
    }

    /// Ends the statement that runs, and the script with it.
    pub fn cancel(&self) {
        self.end(Ended::Cancelled);
    }

    fn end(&self, why: Ended) {
        self.inner().ended.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Returns at once, with an error if the script was ended.
    ///
    /// # Errors
    /// Why.
    pub fn check(&self) -> Result<(), Ended> {
        self.inner().ended.map_or(Ok(()), Err)
    }

    /// Runs one statement, which `interrupt` and the signal given to `work` make end.
    ///
    /// # Errors
    /// Those of `work`, or why it was ended.
    pub(super) fn statement<T, E: From<anyhow::Error>>(
        &self,
        interrupt: Option<Interrupt>,
        timeout: Option<Duration>,
        work: impl FnOnce(&Stop) -> Result<T, E>,
    ) -> Result<T, E> {
        let stop = Stop::default();
        self.inner().running = Some(Running {
            interrupt,
            stop: stop.clone(),
            timeout: timeout.map(|timeout| (Instant::now() + timeout, timeout)),
        });
        self.changed.notify_all();
        let answer = match self.check() {
            Ok(()) => work(&stop),
            Err(ended) => Err(anyhow::Error::from(ended).into()),
        };
        let mut inner = self.inner();
        inner.running = None;
        match (answer, inner.ended) {
            // Whatever it failed with, this is why.
            (Err(_), Some(ended)) => Err(anyhow::Error::from(ended).into()),
            (answer, _) => answer,
        }
    }

    /// Sees to it that statements end when they have to, until [`Control::finish`].
    pub(super) fn watch(&self) {
        let mut inner = self.inner();
        while !inner.over {
            let now = Instant::now();
            let due = inner.running.as_ref().and_then(|running| running.timeout);
            if let (None, Some((instant, timeout))) = (inner.ended, due)
                && instant <= now
            {
                inner.ended = Some(Ended::TimedOut(timeout));
            }
            let pause = match (&inner.running, inner.ended, due) {
                (Some(running), Some(_), _) => {
                    running.stop.stop();
                    if let Some(interrupt) = &running.interrupt {
                        interrupt.interrupt();
                    }
                    Some(INTERRUPT_EVERY)
                }
                (Some(_), None, Some((instant, _))) => Some(instant.saturating_duration_since(now)),
                _ => None,
            };
            inner = match pause {
                Some(pause) => {
                    let waited = self.changed.wait_timeout(inner, pause);
                    waited.expect("no panic happens under this lock").0
                }
                None => {
                    let waited = self.changed.wait(inner);
                    waited.expect("no panic happens under this lock")
                }
            };
        }
    }

    /// Ends [`Control::watch`].
    pub(super) fn finish(&self) {
        self.inner().over = true;
        self.changed.notify_all();
    }
}
