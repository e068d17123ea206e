//! A source's node: waits until it is due, reads, and lets every delivery be committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::backoff::Backoff;
use super::crew::Leash;
use super::door::{Door, Kind, here};
use super::ingest::Ingest;
use super::shared::Shared;
use super::status::State;
use super::stream::Stream;
use super::ticks::{NextTick, next_tick};
use crate::connector::{Cadence, Context, Overlap, ReadEnd, Schedule, SourceReader, Stopped};
use crate::engine::Ledger;
use crate::plan::{Node, SourcePlan};
use crate::record::Event;

/// The longest sleep between looks at the clock, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// What one source needs.
pub struct SourceNode {
    pub shared: Arc<Shared>,
    pub door: Door,
    pub node: Arc<Node>,
    pub stream: Arc<Stream>,
    /// Pulled when the run ends, or when the entity is dropped.
    pub leash: Leash,
    /// Each scheduled source reads once, others to their end.
    pub once: bool,
}

/// The parts that live in the blocking calls.
pub struct Open {
    reader: Option<Box<dyn SourceReader>>,
    ingest: Ingest,
}

impl SourceNode {
    fn plan(&self) -> &SourcePlan {
        match &self.node.work {
            crate::plan::Work::Source(plan) => plan,
            _ => unreachable!("a source node is made of a source's plan"),
        }
    }

    fn name(&self) -> &str {
        &self.node.name
    }

    /// As [`Shared::note_last_rejects`].
    pub fn note_last_rejects(&self) {
        let on_error = self.plan().connector.on_error();
        self.shared.note_last_rejects(self.name(), on_error);
    }

    /// Runs until stopped or ended; returns false if the last read failed.
    pub async fn run(self) -> bool {
        let ok = match self.plan().connector.cadence() {
            (Cadence::Scheduled(schedule), overlap) => self.scheduled(&schedule, overlap).await,
            (Cadence::Continuous, _) => self.continuous().await,
        };
        self.note_last_rejects();
        if !self.leash.is_dismissed() {
            self.stream.close();
        }
        ok
    }

    async fn scheduled(&self, schedule: &Schedule, overlap: Overlap) -> bool {
        let status = self.shared.board.status(self.name());
        status.set_state(State::Running);
        let mut open = None;
        if self.once {
            let tick = self.shared.now();
            self.record_tick(tick);
            let ok = self.read(tick, &mut open).await.is_ok();
            status.set_state(if ok { State::Finished } else { State::Failed });
            return ok;
        }
        let mut due = match schedule {
            // An interval begins at once; a cron pattern names its instants.
            Schedule::Interval(_) => Some(self.shared.now()),
            Schedule::Cron { .. } => schedule.next_after(self.shared.now()),
        };
        // Until when each tick has been answered for.
        let mut seen = None;
        while let Some(tick) = due {
            if !self.sleep_until(tick).await {
                break;
            }
            self.record_tick(tick);
            // What failed has been noted; the next tick tries again.
            let read = self.read(tick, &mut open).await;
            if self.leash.stop.is_stopped() {
                break;
            }
            if let Ok(ReadEnd::Finished) = read {
                self.stream.end();
                status.set_state(State::Finished);
                break;
            }
            let now = self.shared.now();
            let last = seen.map_or(tick, |seen| tick.max(seen));
            due = self.next_tick((schedule, overlap), last, now);
            seen = Some(now);
        }
        true
    }

    fn record_tick(&self, due: DateTime<Utc>) {
        if let Some(recorder) = self.shared.recorder() {
            let entity = self.name().to_owned();
            recorder.write(self.shared.now(), Event::Tick { entity, due });
        }
    }

    /// Returns the tick after those until `seen`, given that a poll is over at `now`; counts what no poll answers.
    fn next_tick(
        &self,
        (schedule, overlap): (&Schedule, Overlap),
        seen: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let NextTick { due, missed } = next_tick(schedule, overlap, seen, now)?;
        if missed > 0 {
            let status = self.shared.board.status(self.name());
            if status.ticks_skipped.fetch_add(missed, Ordering::Relaxed) == 0 {
                tracing::warn!(entity = %self.name(), missed, "the last poll took longer than its schedule; ticks are skipped");
            }
        }
        Some(due)
    }

    /// Sleeps; returns false if the source was stopped meanwhile.
    async fn sleep_until(&self, instant: DateTime<Utc>) -> bool {
        loop {
            if self.leash.stop.is_stopped() {
                return false;
            }
            let left = instant - self.shared.now();
            if left <= TimeDelta::zero() {
                return true;
            }
            self.sleep(left.to_std().unwrap_or_default()).await;
        }
    }

    async fn sleep(&self, pause: Duration) {
        let timer = async {
            smol::Timer::after(pause.min(SLEEP_MAX)).await;
        };
        smol::future::or(timer, self.leash.pulled()).await;
    }

    async fn continuous(&self) -> bool {
        let status = self.shared.board.status(self.name());
        status.set_state(State::Running);
        let mut open = None;
        let mut backoff = Backoff::new();
        let mut ok = true;
        while !self.leash.stop.is_stopped() {
            match self.read(self.shared.now(), &mut open).await {
                Ok(ReadEnd::Finished) => {
                    self.stream.end();
                    status.set_state(State::Finished);
                    return true;
                }
                Ok(ReadEnd::Idle) => {
                    ok = true;
                    backoff.reset();
                }
                Err(()) => {
                    ok = false;
                    open = None;
                    if self.once {
                        break;
                    }
                    self.sleep(backoff.next()).await;
                }
            }
        }
        // A reader may hold what it has received: it sees the signal now, and delivers that.
        if self.leash.stop.is_stopped() && open.is_some() {
            ok &= self.read(self.shared.now(), &mut open).await.is_ok();
        }
        if !ok {
            status.set_state(State::Failed);
        }
        ok
    }

    /// Reads once; a failure is noted here and comes back without its reason.
    async fn read(&self, tick: DateTime<Utc>, open: &mut Option<Open>) -> Result<ReadEnd, ()> {
        let taken = open.take();
        let (shared, node, stream) = (
            Arc::clone(&self.shared),
            Arc::clone(&self.node),
            Arc::clone(&self.stream),
        );
        let (stop, once) = (self.leash.stop.clone(), self.once);
        let work = move || {
            let mut opened = match taken {
                Some(opened) => opened,
                None => match Self::open(&shared, &node, &stream) {
                    Ok(opened) => opened,
                    Err(error) => return (None, Err(error)),
                },
            };
            let context = shared.context_on_tape(&node.name, &stop).with_once(once);
            let end = Self::read_blocking(&shared, &node, &mut opened, tick, &context);
            (Some(opened), end)
        };
        let status = self.shared.board.status(self.name());
        status.set_busy(Some(self.shared.now()));
        let end = match self.door.run(Kind::Outside, work).await {
            Ok((opened, end)) => {
                *open = opened;
                end
            }
            Err(error) => Err(error),
        };
        status.set_busy(None);
        self.note(end)
    }

    /// As the loop does it, on this thread. Blocking.
    ///
    /// # Errors
    /// A failure, which has been noted.
    pub fn read_here(&self, tick: DateTime<Utc>, open: &mut Option<Open>) -> Result<ReadEnd, ()> {
        let read = || {
            let mut opened = match open.take() {
                Some(opened) => opened,
                None => Self::open(&self.shared, &self.node, &self.stream)?,
            };
            let context = self.shared.context_on_tape(self.name(), &self.leash.stop);
            let end = Self::read_blocking(&self.shared, &self.node, &mut opened, tick, &context);
            *open = Some(opened);
            end
        };
        let end = here(read).and_then(|end| end);
        self.note(end)
    }

    fn note(&self, end: anyhow::Result<ReadEnd>) -> Result<ReadEnd, ()> {
        let status = self.shared.board.status(self.name());
        match end {
            Ok(end) => {
                // A pushing source returns from time to time while it goes on trying: that is none yet.
                let waits = matches!(self.plan().connector.cadence().0, Cadence::Continuous)
                    && status.is_retrying();
                if !waits {
                    self.shared.note_success(self.name());
                }
                Ok(end)
            }
            Err(error) if error.is::<Stopped>() => Ok(ReadEnd::Idle),
            Err(error) => {
                self.shared.note_error(self.name(), "read", &error, None);
                Err(())
            }
        }
    }

    fn open(shared: &Arc<Shared>, node: &Arc<Node>, stream: &Arc<Stream>) -> anyhow::Result<Open> {
        let crate::plan::Work::Source(plan) = &node.work else {
            unreachable!("a source node is made of a source's plan");
        };
        Ok(Open {
            reader: None,
            ingest: Ingest::new(shared, &node.name, plan, stream)?,
        })
    }

    fn read_blocking(
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        open: &mut Open,
        tick: DateTime<Utc>,
        context: &Context,
    ) -> anyhow::Result<ReadEnd> {
        let crate::plan::Work::Source(plan) = &node.work else {
            unreachable!("a source node is made of a source's plan");
        };
        let mut reader = match open.reader.take() {
            Some(reader) => reader,
            None => {
                let cursor = match shared.newcomers.take(&node.name) {
                    true => None,
                    false => {
                        let session = shared.database.session()?;
                        Ledger::new(&session).stream(&node.name)?.cursor
                    }
                };
                plan.connector.open(cursor.as_deref(), context)?
            }
        };
        let status = shared.board.status(&node.name);
        let ingest = &mut open.ingest;
        let end = reader.read(tick, context, &mut |delivery| {
            status.batches.fetch_add(1, Ordering::Relaxed);
            ingest.commit(&delivery, context)
        });
        open.reader = Some(reader);
        ingest.settle(context).and(end)
    }
}
