//! The loop of a consumer: take what is there, wait for the bell, try again after a failure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;

use super::backoff::Backoff;
use super::crew::Leash;
use super::derived::Derived;
use super::door::{Door, Kind, here};
use super::shared::Shared;
use super::sink::Sink;
use super::status::State;
use super::step::{Progress, Step};
use super::stream::Stream;
use super::timed::{Timed, is_timed};
use crate::connector::{Event, Stop, Stopped};
use crate::plan::Node;

/// How often a sink that holds rows back is asked whether it is time to let them go.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How long a relation sleeps between looks at a reader of its own that is too far behind.
const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// How long a relation over nothing gives its inputs to begin: what a source brings first need not share the
/// processors with relations that have nothing to follow yet.
const BEGIN_WAIT: Duration = Duration::from_millis(50);

/// Which part of an entity a consumer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The kept relation, of a view or behind a sink.
    Relation,
    Sink,
}

/// What one consumer needs.
pub struct Consumer {
    pub shared: Arc<Shared>,
    pub door: Door,
    pub node: Arc<Node>,
    pub part: Part,
    pub inputs: Vec<Arc<Stream>>,
    /// The stream it makes, if it is a relation.
    pub stream: Option<Arc<Stream>>,
    pub inbox: Receiver<()>,
    /// Pulled when the time to drain is over, or when the entity is dropped.
    pub leash: Leash,
    /// End at the first failure that lasts, instead of trying for ever.
    pub once: bool,
}

/// The failures in a row after which a run that ends by itself gives up.
const FAILURES_MAX: u32 = 5;

impl Consumer {
    /// The name under which it reads and is known.
    pub fn name(&self) -> &str {
        match self.part {
            Part::Relation => self
                .node
                .derived()
                .map_or(&self.node.name, |plan| &plan.stored.name),
            Part::Sink => &self.node.name,
        }
    }

    fn kind(&self) -> Kind {
        match self.part {
            Part::Relation => match self.node.derived() {
                Some(plan) if plan.feed.lookups.is_empty() => Kind::Engine,
                _ => Kind::Outside,
            },
            Part::Sink => Kind::Outside,
        }
    }

    /// Runs until its inputs have ended and everything is taken; returns false if it gave up.
    pub async fn run(self) -> bool {
        let name = self.name().to_owned();
        let status = self.shared.board.status(&name);
        status.set_state(State::Running);
        let mut ended = false;
        let mut step = None;
        let mut failures = 0;
        let mut backoff = Backoff::new();
        self.let_begin().await;
        let ok = loop {
            match self.work(&mut step, ended).await {
                Ok(()) => {
                    failures = 0;
                    backoff.reset();
                    if self.is_held_up() {
                        smol::Timer::after(BACKLOG_PAUSE).await;
                        continue;
                    }
                    if ended {
                        self.pass_end_on();
                        break true;
                    }
                    ended = self.wait().await;
                }
                Err(error) if error.is::<Stopped>() => break false,
                Err(error) => {
                    // Also where it could not even be opened, or panicked.
                    tell_failing(&self.inputs, &name);
                    self.shared.note_error(&name, self.stage(), &error, None);
                    failures += 1;
                    if self.leash.stop.is_stopped()
                        || (self.once && failures >= FAILURES_MAX)
                        || is_final(&error)
                    {
                        break false;
                    }
                    let pause = async {
                        smol::Timer::after(backoff.next()).await;
                    };
                    smol::future::or(pause, self.leash.pulled()).await;
                }
            }
        };
        if let Some(stream) = &self.stream
            && !self.leash.is_dismissed()
        {
            stream.close();
        }
        status.set_state(if ok { State::Finished } else { State::Failed });
        ok
    }

    /// Takes what is there before [`Consumer::run`], on this thread. Blocking.
    pub fn begin_here(&self) {
        if let Err(error) = self.work_here(&mut None, false) {
            // The run tries again, and tells if that fails too.
            tracing::debug!(entity = %self.name(), "cannot begin: {error:#}");
        }
    }

    /// Lets the inputs of a relation begin, where there is nothing in them.
    async fn let_begin(&self) {
        if self.part == Part::Relation && self.inputs.iter().all(|input| input.head() == 0) {
            let rung = async {
                // All have ended: what is there is taken at once too.
                self.inbox.recv().await.unwrap_or_default();
            };
            let waited = async {
                smol::Timer::after(BEGIN_WAIT).await;
            };
            smol::future::or(rung, smol::future::or(self.leash.pulled(), waited)).await;
        }
    }

    /// A relation all of whose inputs have ended for good has too.
    pub fn pass_end_on(&self) {
        if let Some(stream) = &self.stream
            && self.inputs.iter().all(|input| input.is_ended())
        {
            stream.end();
        }
    }

    pub fn stage(&self) -> &'static str {
        match self.part {
            Part::Relation => "maintain",
            Part::Sink => "write",
        }
    }

    /// Says whether a relation has to wait for a reader of its own: it then takes nothing, so that its
    /// own inputs fill up and the source waits in the end.
    fn is_held_up(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| stream.overfull().is_some())
    }

    /// Waits for the bell, a second at most for a sink; returns true once all inputs have ended.
    async fn wait(&self) -> bool {
        let bell = async { self.inbox.recv().await.is_err() };
        let bell = smol::future::or(bell, async {
            self.leash.pulled().await;
            true
        });
        match self.part {
            Part::Relation => bell.await,
            Part::Sink => {
                let timer = async {
                    smol::Timer::after(FLUSH_INTERVAL).await;
                    false
                };
                smol::future::or(bell, timer).await
            }
        }
    }

    /// Takes everything there is, in one call through the door. After a failure the step is gone: the next
    /// one is made from the state.
    async fn work(&self, step: &mut Option<Box<dyn Step>>, ended: bool) -> anyhow::Result<()> {
        let taken = step.take();
        let (shared, node, part) = (Arc::clone(&self.shared), Arc::clone(&self.node), self.part);
        let (inputs, stream, stop) = (
            self.inputs.clone(),
            self.stream.clone(),
            self.leash.stop.clone(),
        );
        let name = self.name().to_owned();
        let work = move || -> anyhow::Result<Box<dyn Step>> {
            let mut step = match taken {
                Some(step) => step,
                None => open(&shared, &node, part, inputs, stream, &stop)?,
            };
            drain(step.as_mut(), &shared, &name, &stop, ended)?;
            Ok(step)
        };
        let status = self.shared.board.status(self.name());
        status.set_busy(Some(self.shared.now()));
        let worked = self.door.run(self.kind(), work).await;
        status.set_busy(None);
        *step = Some(worked??);
        Ok(())
    }

    /// As the loop does it, on this thread. Blocking.
    ///
    /// # Errors
    /// Those of the step, which is gone then.
    pub fn work_here(&self, step: &mut Option<Box<dyn Step>>, ended: bool) -> anyhow::Result<()> {
        let (inputs, stream) = (self.inputs.clone(), self.stream.clone());
        let stop = &self.leash.stop;
        let work = || {
            let mut taken = match step.take() {
                Some(step) => step,
                None => open(&self.shared, &self.node, self.part, inputs, stream, stop)?,
            };
            drain(taken.as_mut(), &self.shared, self.name(), stop, ended)?;
            anyhow::Ok(taken)
        };
        *step = Some(here(work)??);
        Ok(())
    }
}

fn open(
    shared: &Arc<Shared>,
    node: &Arc<Node>,
    part: Part,
    inputs: Vec<Arc<Stream>>,
    stream: Option<Arc<Stream>>,
    stop: &Stop,
) -> anyhow::Result<Box<dyn Step>> {
    match (part, stream) {
        (Part::Relation, Some(stream)) if is_timed(node) => {
            Ok(Box::new(Timed::new(shared, node, &stream, inputs)?))
        }
        (Part::Relation, Some(stream)) => {
            Ok(Box::new(Derived::new(shared, node, &stream, inputs, stop)?))
        }
        (Part::Relation, None) => anyhow::bail!("a relation has no stream"),
        (Part::Sink, _) => {
            let (streams, name) = (inputs.clone(), node.name.clone());
            // A sink that hangs between attempts is as good as down: the others must not wait for it.
            let context = (shared.context(&node.name, stop)).observed(move |event| {
                if matches!(event, Event::Retry { .. }) {
                    tell_failing(&streams, &name);
                }
            });
            Ok(Box::new(Sink::new(shared, node, inputs, context)?))
        }
    }
}

/// Tells the streams that a reader cannot go on for now.
fn tell_failing(inputs: &[Arc<Stream>], reader: &str) {
    for input in inputs {
        input.reader_failing(reader);
    }
}

/// Steps until there is nothing more to take.
fn drain(
    step: &mut dyn Step,
    shared: &Shared,
    name: &str,
    stop: &Stop,
    ended: bool,
) -> anyhow::Result<()> {
    let status = shared.board.status(name);
    loop {
        if let Err(stopped) = stop.check() {
            // What is held back (a file that is not full) is let go, as at an end.
            step.flush(true)?;
            return Err(stopped.into());
        }
        let started = Instant::now();
        if step.step()? == Progress::Idle {
            break;
        }
        status.work.observe(started.elapsed());
        shared.note_success(name);
    }
    if ended {
        step.flush(true)?;
    }
    Ok(())
}

/// Says whether trying again cannot help: nobody reads our stdout any more, or the database is given up.
fn is_final(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<crate::engine::SqlFault>()
                .is_some_and(crate::engine::SqlFault::is_fatal)
    })
}
