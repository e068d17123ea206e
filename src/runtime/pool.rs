//! Threads on which the requests of lookups wait for their answers. They stay for a while: to start a thread takes as
//! long as to ask, and whoever starts many waits for a processor behind those that run already.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A thread that is not needed for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// As many threads as there are jobs at a time. They end with the pool.
#[derive(Default)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told of each job.
    jobs: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that have no job, those that are about to start included.
    idle: usize,
    rounds: u64,
    closed: bool,
}

struct Job {
    /// The call of [`Pool::run`] it belongs to.
    round: u64,
    run: Box<dyn FnOnce() + Send>,
}

/// What a panic left.
type Panic = Box<dyn Any + Send>;

impl Pool {
    /// Starts threads, so that so many jobs find one that waits. Where the system gives none, the jobs get on without.
    pub fn hire(&self, count: usize) {
        let mut state = self.shared.lock();
        while state.idle < count && self.shared.start_thread(&mut state) {}
    }

    /// Runs `work` on so many threads at a time, of which this is one, and returns when all have ended. Threads that
    /// are not free by the time this one has ended do not begin: `work` ends when nothing is left to do.
    ///
    /// # Panics
    /// `work` did, on one of the threads; all have ended then too.
    pub fn run(&self, count: usize, work: impl Fn() + Send + Sync + 'static) {
        let work = Arc::new(work);
        let (ended, ends) = channel::<Result<(), Panic>>();
        let round = self.add(count.saturating_sub(1), || {
            let (work, ended) = (Arc::clone(&work), ended.clone());
            Box::new(move || {
                let end = catch_unwind(AssertUnwindSafe(|| work()));
                drop(work);
                // Whoever runs the round waits for it.
                ended.send(end).unwrap_or_default();
            })
        });
        drop(ended);
        let own = catch_unwind(AssertUnwindSafe(|| work()));
        self.shared.lock().waiting.retain(|job| job.round != round);
        // Each job has a sender, until it has run or is dropped.
        let all: Vec<Result<(), Panic>> = std::iter::once(own).chain(ends).collect();
        for end in all {
            end.unwrap_or_else(|panic| resume_unwind(panic));
        }
    }

    /// Adds jobs, and starts threads where fewer wait; returns the number of their round.
    fn add(&self, count: usize, job: impl Fn() -> Box<dyn FnOnce() + Send>) -> u64 {
        let mut state = self.shared.lock();
        state.rounds += 1;
        let round = state.rounds;
        for _ in 0..count {
            let run = job();
            state.waiting.push_back(Job { round, run });
        }
        while state.idle < state.waiting.len() && self.shared.start_thread(&mut state) {}
        drop(state);
        for _ in 0..count {
            self.shared.jobs.notify_one();
        }
        round
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.jobs.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No job runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the system gave one.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> bool {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("lookup".to_owned());
        let started = thread.spawn(move || shared.take_jobs());
        state.idle += usize::from(started.is_ok());
        if let Err(error) = &started {
            tracing::debug!(%error, "no further thread for lookups");
        }
        started.is_ok()
    }

    fn take_jobs(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                state.idle -= 1;
                drop(state);
                (job.run)();
                state = self.lock();
                state.idle += 1;
                continue;
            }
            if state.closed {
                break;
            }
            let (guard, waited) = self
                .jobs
                .wait_timeout(state, IDLE_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() && state.waiting.is_empty() {
                break;
            }
        }
        state.idle -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn as_many_threads_run_at_a_time_as_wanted_and_are_used_again() {
        let pool = Pool::default();
        pool.hire(3);
        for _ in 0..50 {
            let barrier = Barrier::new(8);
            // Each waits for all others.
            pool.run(8, move || {
                barrier.wait();
            });
        }
        // Some may have been on their way back when the next ones were needed.
        let threads = Arc::strong_count(&pool.shared) - 1;
        assert!((7..100).contains(&threads), "{threads}");
    }

    #[test]
    fn all_work_is_done_when_it_returns_also_without_a_free_thread() {
        let pool = Arc::new(Pool::default());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for count in 1..40 {
                        let (next, done) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
                        let counted = Arc::clone(&done);
                        pool.run(count, move || {
                            while next.fetch_add(1, Ordering::Relaxed) < 100 {
                                std::thread::yield_now();
                                counted.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                        assert_eq!(done.load(Ordering::Relaxed), 100);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_is_the_callers_and_leaves_the_pool_as_good_as_before() {
        let pool = Pool::default();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (barrier, next) = (Barrier::new(4), AtomicUsize::new(0));
            pool.run(4, move || {
                barrier.wait();
                assert_ne!(next.fetch_add(1, Ordering::Relaxed), 2, "the third fails");
            });
        }));
        assert!(panicked.is_err());
        let barrier = Barrier::new(4);
        pool.run(4, move || {
            barrier.wait();
        });
    }

    #[test]
    fn threads_end_with_the_pool() {
        let pool = Pool::default();
        pool.hire(5);
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        while shared.strong_count() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
