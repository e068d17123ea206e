//! Plays a record: one thing after the other, on the clock of the record.
//!
//! A live run is a crowd of tasks, and what it commits in which order is decided by the threads. Here the
//! same sources and consumers are driven by one loop: the next thing that came in, in the order of the
//! recorded instants; then every consumer, in the order of the plan, until nothing is left to take. So a
//! record gives the same rows in the same batches every time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Sender;
use chrono::{DateTime, TimeDelta, Utc};

use super::consumer::{Consumer, Part};
use super::crew::Leash;
use super::janitor;
use super::run::{Runtime, needed};
use super::source::{Open, SourceNode};
use super::step::Step;
use super::stream::{Stream, inbox};
use crate::connector::{Cadence, ReadEnd, Schedule, Stop, Stopped};
use crate::engine::{Ledger, Session};
use crate::plan::{Node, Work};
use crate::record::{Due, Player};

/// How often a sink that holds rows back is asked whether it is time to let them go, as in a live run.
const FLUSH_INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// After so many things, what has been consumed is deleted; more often, it would cost more than it frees.
const TRIM_EVERY: usize = 256;

/// How fast a record is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it can be worked off.
    Max,
    /// So many times as fast as it was recorded.
    Times(f64),
}

impl Speed {
    /// Parses `max`, `1x`, `2.5x`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("max") {
            return Some(Self::Max);
        }
        let times: f64 = text.strip_suffix(['x', 'X'])?.parse().ok()?;
        (times.is_finite() && times > 0.0).then_some(Self::Times(times))
    }
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// Everything was played, or as much as was wanted.
    Well,
    /// An entity was given up; its error has been told.
    Badly,
    /// The pipeline asked for what the record lacks.
    Lacking(String),
}

/// The record asks for nothing more, or the run is interrupted.
enum Stage {
    On,
    Over(Replayed),
}

impl Runtime {
    /// Plays a record from its beginning to its end, or until `interrupted` gives a value. Blocking.
    ///
    /// # Errors
    /// The pipeline has a source that the record knows nothing of, or DuckDB's own.
    pub fn replay(
        &self,
        player: &Arc<Player>,
        speed: Speed,
        interrupted: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<Replayed> {
        let stop = Stop::default();
        let signal = stop.clone();
        // It ends with the process: a signal may come until then.
        std::thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(move || {
                smol::block_on(interrupted);
                signal.stop();
            })?;
        let mut replay = Replay::new(self, player, &stop)?;
        let record = player.path().display();
        tracing::info!(%record, from = %player.begin(), to = %player.end(), "replaying");
        replay.run(speed)
    }
}

/// A source on its record.
struct Source {
    node: SourceNode,
    open: Option<Open>,
    /// The next poll, where the record does not tell: then the schedule does.
    next: Option<(Schedule, DateTime<Utc>)>,
    ended: bool,
    idle_timeout: Option<Duration>,
    /// The head of its stream, and since when it is that.
    woken: (u64, DateTime<Utc>),
}

impl Source {
    /// Notes that it has been without rows for its timeout; returns true if it was not idle before.
    fn look_idle(&mut self, now: DateTime<Utc>) -> bool {
        let Some(timeout) = self.idle_timeout else {
            return false;
        };
        let asleep = (now - self.woken.1).to_std().unwrap_or_default() >= timeout;
        asleep && self.node.stream.sleep()
    }

    fn look_awake(&mut self, now: DateTime<Utc>) {
        let head = self.node.stream.head();
        if head != self.woken.0 {
            self.woken = (head, now);
        }
    }
}

/// A consumer with what it has open.
struct Worker {
    consumer: Consumer,
    step: Option<Box<dyn Step>>,
    /// The heads of its inputs and the clock when it last worked.
    seen: Option<(Vec<u64>, DateTime<Utc>)>,
    given_up: bool,
}

impl Worker {
    /// Says whether there may be something for it to do.
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        match &self.seen {
            _ if self.given_up => false,
            None => true,
            Some((heads, at)) => *heads != self.heads() || now - *at >= FLUSH_INTERVAL,
        }
    }

    fn heads(&self) -> Vec<u64> {
        let inputs = self.consumer.inputs.iter();
        inputs.map(|input| input.head()).collect()
    }
}

struct Replay<'r> {
    runtime: &'r Runtime,
    player: Arc<Player>,
    session: Session,
    sources: Vec<Source>,
    workers: Vec<Worker>,
    stop: Stop,
    failed: bool,
    /// Keeps the leashes whole.
    _awake: Sender<()>,
}

impl<'r> Replay<'r> {
    fn new(runtime: &'r Runtime, player: &Arc<Player>, stop: &Stop) -> anyhow::Result<Self> {
        let (awake, stopped) = async_channel::bounded(1);
        let leash = Leash {
            stop: stop.clone(),
            stopped: stopped.clone(),
            dismissed: Arc::default(),
        };
        // A signal stops the sources; what they have delivered is still worked off.
        let never = Leash {
            stop: Stop::default(),
            stopped,
            dismissed: Arc::default(),
        };
        let plan = runtime.plan();
        let needed = needed(&plan);
        let session = runtime.shared.database.session()?;
        let (mut sources, mut workers) = (Vec::new(), Vec::new());
        for node in plan.nodes.iter().filter(|node| needed.contains(&node.name)) {
            if matches!(node.work, Work::Source(_)) {
                sources.push(source(runtime, player, node, &leash)?);
                continue;
            }
            let relation = node.derived().map(|_| Part::Relation);
            let sink = matches!(node.work, Work::Sink(_)).then_some(Part::Sink);
            for part in relation.into_iter().chain(sink) {
                let (inputs, stream) = runtime.ends(&session, node, part)?;
                workers.push(worker(runtime, (node, part), inputs, stream, &never));
            }
        }
        Ok(Self {
            runtime,
            player: Arc::clone(player),
            session,
            sources,
            workers,
            stop: stop.clone(),
            failed: false,
            _awake: awake,
        })
    }

    fn run(&mut self, speed: Speed) -> anyhow::Result<Replayed> {
        let begin = self.player.begin();
        let started = Instant::now();
        let pace = |at: DateTime<Utc>| match speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => {
                let passed = (at - begin).to_std().unwrap_or_default();
                passed.div_f64(times).saturating_sub(started.elapsed())
            }
        };
        self.put_clock(begin)?;
        let mut played = 0;
        // What needs no input is there from the beginning.
        let mut stage = self.drain(false);
        while let Stage::On = stage {
            let Some((index, due)) = self.next() else {
                break;
            };
            if self.stop.wait(pace(due.at)).is_err() {
                break;
            }
            self.put_clock(due.at)?;
            stage = self.look_idle();
            if let Stage::On = stage {
                stage = match self.play(index, &due)? {
                    Stage::On => self.drain(false),
                    over => over,
                };
            }
            played += 1;
            if played % TRIM_EVERY == 0 {
                self.trim();
            }
        }
        if let Stage::Over(Replayed::Lacking(message)) = stage {
            return Ok(Replayed::Lacking(message));
        }
        // Also after a signal, as in a live run.
        if self.stop.wait(pace(self.player.end())).is_ok() {
            self.put_clock(self.player.end())?;
        }
        let stage = match self.look_idle() {
            Stage::On => self.drain(true),
            over => over,
        };
        self.trim();
        for source in &self.sources {
            source.node.note_last_rejects();
        }
        self.runtime.note_last_rejects();
        tracing::info!(events = played, "played");
        Ok(match stage {
            Stage::Over(replayed) => replayed,
            Stage::On if self.failed => Replayed::Badly,
            Stage::On => Replayed::Well,
        })
    }

    fn put_clock(&self, at: DateTime<Utc>) -> anyhow::Result<()> {
        self.player.clock.advance(at);
        self.session.set_clock(self.player.clock.now())
    }

    fn trim(&self) {
        let (shared, streams) = (&self.runtime.shared, self.runtime.streams());
        if let Err(error) = janitor::trim(shared, &streams, janitor::When::Between) {
            tracing::warn!("cannot delete what has been consumed: {error:#}");
        }
        shared.trim_errors();
    }

    /// Returns what comes next, and to which source.
    fn next(&self) -> Option<(usize, Due)> {
        let index_of = |entity: &str| {
            let mut sources = self.sources.iter();
            sources.position(|source| source.node.node.name.eq_ignore_ascii_case(entity))
        };
        let wanted =
            |entity: &str| index_of(entity).is_some_and(|index| !self.sources[index].ended);
        let recorded = self.player.next(&wanted);
        let recorded = recorded.and_then(|due| Some((index_of(&due.entity)?, due)));
        let scheduled = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| {
                let (_, at) = source.next.as_ref().filter(|_| !source.ended)?;
                let due = Due {
                    at: *at,
                    number: usize::MAX,
                    entity: source.node.node.name.clone(),
                    tick: Some(*at),
                };
                (*at <= self.player.end()).then_some((index, due))
            });
        let all = scheduled.chain(recorded);
        all.min_by_key(|(_, due)| (due.at, due.number))
    }

    /// Lets those that wait for sources which have become idle, on the clock of the record, go on without them.
    fn look_idle(&mut self) -> Stage {
        let now = self.player.clock.now();
        let turned =
            (self.sources.iter_mut()).filter_map(|source| source.look_idle(now).then_some(()));
        if turned.count() == 0 {
            return Stage::On;
        }
        self.rouse();
        self.drain(false)
    }

    /// Has every consumer look, though no rows have come.
    fn rouse(&mut self) {
        self.workers
            .iter_mut()
            .for_each(|worker| worker.seen = None);
    }

    /// Gives a source what came to it.
    fn play(&mut self, index: usize, due: &Due) -> anyhow::Result<Stage> {
        let source = &mut self.sources[index];
        let name = source.node.node.name.clone();
        match (&mut source.next, due.tick) {
            (Some((schedule, next)), Some(_)) => {
                let following = schedule.next_after(*next);
                source.ended = following.is_none();
                *next = following.unwrap_or(*next);
            }
            (_, Some(_)) => {
                self.player.take_if(&name, |_| true)?;
            }
            _ => {}
        }
        let tick = due.tick.unwrap_or(due.at);
        let read = source.node.read_here(tick, &mut source.open);
        source.look_awake(self.player.clock.now());
        if let Ok(ReadEnd::Finished) = read {
            source.ended = true;
            source.node.stream.end();
            self.rouse();
        }
        let source = &mut self.sources[index];
        if read.is_err() && due.tick.is_none() {
            source.open = None;
        }
        // What a failed reader has not taken would come for ever.
        if due.tick.is_none() {
            let same = |next: &Due| next.number == due.number;
            let of_source = |entity: &str| entity.eq_ignore_ascii_case(&name);
            if self.player.next(&of_source).is_some_and(|next| same(&next)) {
                self.player.take_if(&name, |_| true)?;
            }
        }
        Ok(match self.lacking() {
            Some(Replayed::Lacking(message)) => Stage::Over(Replayed::Lacking(message)),
            Some(_) => {
                self.sources[index].ended = true;
                Stage::On
            }
            None => Stage::On,
        })
    }

    /// Returns what the last call came to, if it asked for what the record lacks: an error, or the end of
    /// its entity where the recorded run was interrupted there.
    fn lacking(&self) -> Option<Replayed> {
        let lack = self.player.take_lack()?;
        if self.player.is_over(&lack.entity) {
            tracing::info!(entity = %lack.entity, "the record ends while it is at work");
            return Some(Replayed::Well);
        }
        Some(Replayed::Lacking(lack.message))
    }

    /// Lets every consumer take what is there, those that are read before those that read; at the `end`
    /// also what they hold back.
    fn drain(&mut self, end: bool) -> Stage {
        for index in 0..self.workers.len() {
            let now = self.player.clock.now();
            let worker = &mut self.workers[index];
            if !(worker.is_due(now) || (end && !worker.given_up)) {
                continue;
            }
            worker.seen = Some((worker.heads(), now));
            let worked = worker.consumer.work_here(&mut worker.step, end);
            let lacking = self.lacking();
            let worker = &mut self.workers[index];
            match (worked, lacking) {
                (_, Some(Replayed::Lacking(message))) => {
                    return Stage::Over(Replayed::Lacking(message));
                }
                (_, Some(_)) => worker.given_up = true,
                (Err(error), None) if error.is::<Stopped>() => {}
                (Err(error), None) => {
                    // Trying again would give the same.
                    let (name, stage) =
                        (worker.consumer.name().to_owned(), worker.consumer.stage());
                    worker.given_up = true;
                    self.failed = true;
                    self.runtime.shared.note_error(&name, stage, &error, None);
                }
                (Ok(()), None) => worker.consumer.pass_end_on(),
            }
        }
        Stage::On
    }
}

fn source(
    runtime: &Runtime,
    player: &Player,
    node: &Arc<Node>,
    leash: &Leash,
) -> anyhow::Result<Source> {
    let Work::Source(plan) = &node.work else {
        unreachable!("a source is made of a source's plan");
    };
    let name = &node.name;
    anyhow::ensure!(
        player.has_source(name),
        "the record `{}` was made without `{name}`, a source of this pipeline: record again with \
         `omlsp run --record`",
        player.path().display()
    );
    let session = runtime.shared.database.session()?;
    if let Some(cursor) = player.cursor(name) {
        let ledger = Ledger::new(&session);
        let head = ledger.stream(name)?.head;
        ledger.advance(name, head, Some(cursor))?;
        runtime.shared.newcomers.take(name);
    }
    let next = match plan.connector.cadence().0 {
        Cadence::Scheduled(_) if player.has_ticks(name) => None,
        Cadence::Scheduled(schedule) => {
            let first = match schedule {
                Schedule::Interval(_) => Some(player.begin()),
                Schedule::Cron { .. } => schedule.next_after(player.begin()),
            };
            first.map(|first| (schedule, first))
        }
        Cadence::Continuous => None,
    };
    Ok(Source {
        node: SourceNode {
            shared: Arc::clone(&runtime.shared),
            door: runtime.door.clone(),
            node: Arc::clone(node),
            stream: runtime.stream(&plan.stored.name),
            leash: leash.clone(),
            once: false,
        },
        open: None,
        next,
        ended: false,
        idle_timeout: plan.idle_timeout(),
        woken: (0, player.begin()),
    })
}

fn worker(
    runtime: &Runtime,
    (node, part): (&Arc<Node>, Part),
    inputs: Vec<Arc<Stream>>,
    stream: Option<Arc<Stream>>,
    leash: &Leash,
) -> Worker {
    Worker {
        consumer: Consumer {
            shared: Arc::clone(&runtime.shared),
            door: runtime.door.clone(),
            node: Arc::clone(node),
            part,
            inputs,
            stream,
            // Nobody rings: the loop asks.
            inbox: inbox().1,
            leash: leash.clone(),
            once: true,
        },
        step: None,
        seen: None,
        given_up: false,
    }
}
