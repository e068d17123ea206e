//! The one door to the threads on which blocking work runs.
//!
//! Two kinds: work of the engine alone, on as many threads as there are processors, and work that waits
//! for the outside world, on threads that come and go. So a hundred slow servers keep no view waiting.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender};

/// Jobs that may wait for a thread: beyond it the nodes themselves wait.
const JOBS_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// Which threads a piece of work belongs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Engine,
    Outside,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    engine: Sender<Job>,
}

impl Door {
    /// Starts the engine's threads; they end when the last clone of the door is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn open() -> std::io::Result<Self> {
        let (engine, jobs): (Sender<Job>, Receiver<Job>) = async_channel::bounded(JOBS_MAX);
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
        for index in 0..threads {
            let jobs = jobs.clone();
            std::thread::Builder::new()
                .name(format!("engine-{index}"))
                .spawn(move || {
                    while let Ok(job) = jobs.recv_blocking() {
                        job();
                    }
                })?;
        }
        Ok(Self { engine })
    }

    /// Returns how many jobs wait for one of the engine's threads.
    pub fn waiting(&self) -> usize {
        self.engine.len()
    }

    /// Runs blocking work and returns its value; a panic in it is an error with the panic's message.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let caught = match kind {
            Kind::Outside => smol::unblock(move || catch_unwind(AssertUnwindSafe(work))).await,
            Kind::Engine => {
                let (answer, receive) = async_channel::bounded(1);
                let job: Job = Box::new(move || {
                    let value = catch_unwind(AssertUnwindSafe(work));
                    // Nobody waits for it any more if the node was ended.
                    if answer.try_send(value).is_err() {
                        tracing::debug!("the answer of a finished job was not awaited");
                    }
                });
                self.engine
                    .send(job)
                    .await
                    .map_err(|_| anyhow::anyhow!("the engine's threads have ended"))?;
                receive.recv().await?
            }
        };
        caught.map_err(|panic| internal(panic.as_ref()))
    }
}

/// Blocking work on a thread of its own: whoever waits for it may hold one of the others.
pub struct Begun<T>(Result<JoinHandle<Caught<T>>, Caught<T>>);

type Caught<T> = std::thread::Result<T>;

/// Begins blocking work on a thread of its own; where the system gives none, it is done before this returns.
pub fn begin<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
    let work = Arc::new(Mutex::new(Some(work)));
    let given = Arc::clone(&work);
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let run = move || {
        let work = take(&given).expect("the work is taken by the thread that was started for it");
        catch_unwind(AssertUnwindSafe(work))
    };
    match std::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(thread) => Begun(Ok(thread)),
        Err(error) => {
            tracing::debug!(%error, "no thread for it");
            let work = take(&work).expect("no thread has taken it");
            Begun(Err(catch_unwind(AssertUnwindSafe(work))))
        }
    }
}

impl<T> Begun<T> {
    /// Waits for its value; a panic in it is an error with the panic's message.
    ///
    /// # Errors
    /// The work panicked.
    pub fn wait(self) -> anyhow::Result<T> {
        let caught = match self.0 {
            Ok(thread) => thread.join().and_then(|caught| caught),
            Err(caught) => caught,
        };
        caught.map_err(|panic| internal(panic.as_ref()))
    }
}

/// Runs blocking work on this thread; a panic in it is an error with the panic's message.
///
/// # Errors
/// The work panicked.
pub fn here<T>(work: impl FnOnce() -> T) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| internal(panic.as_ref()))
}

fn internal(panic: &(dyn Any + Send)) -> anyhow::Error {
    anyhow::anyhow!("internal error: {}", panic_message(panic))
}

/// Returns what a panic said.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without a message")
}
