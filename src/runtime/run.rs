//! Starts the nodes of a plan and ends them in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smol::Executor;

use super::consumer::{Consumer, Part};
use super::door::Door;
use super::shared::Shared;
use super::source::SourceNode;
use super::stream::{Stream, inbox};
use super::{janitor, state};
use crate::connector::{Cadence, Stop};
use crate::engine::{Layout, Ledger, Session};
use crate::plan::{Feed, Maintenance, Node, Plan, Work};

/// How a run begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    pub once: bool,
    /// How long consumers may take to take what is there after the sources have stopped.
    pub drain_timeout: Duration,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// Something failed, or did not drain in time.
    Badly,
}

/// A pipeline that runs.
pub struct Runtime {
    pub shared: Arc<Shared>,
    plan: Plan,
    executor: Arc<Executor<'static>>,
    door: Door,
    options: RunOptions,
    streams: Arc<Mutex<HashMap<String, Arc<Stream>>>>,
    stop_sources: Stop,
    stop_all: Stop,
    /// Held so that sleeping sources wake when it is dropped.
    awake: Mutex<Option<async_channel::Sender<()>>>,
    asleep: async_channel::Receiver<()>,
    tasks: Mutex<Vec<smol::Task<bool>>>,
}

impl Runtime {
    /// Prepares a run over a state that has been brought in line with the plan.
    ///
    /// # Errors
    /// The system gives no threads, or DuckDB's own.
    pub fn new(shared: Arc<Shared>, plan: Plan, options: RunOptions) -> anyhow::Result<Self> {
        let (awake, asleep) = async_channel::bounded(1);
        let runtime = Self {
            shared,
            plan,
            executor: Arc::new(Executor::new()),
            door: Door::open()?,
            options,
            streams: Arc::default(),
            stop_sources: Stop::default(),
            stop_all: Stop::default(),
            awake: Mutex::new(Some(awake)),
            asleep,
            tasks: Mutex::default(),
        };
        runtime.make_streams()?;
        Ok(runtime)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the streams, for lag and positions.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        streams_of(&self.streams)
    }

    fn make_streams(&self) -> anyhow::Result<()> {
        let session = self.shared.database.session()?;
        let ledger = Ledger::new(&session);
        let mut streams = self
            .streams
            .lock()
            .expect("no panic happens under this lock");
        for stored in self
            .plan
            .nodes
            .iter()
            .flat_map(|node| state::stored_of(node))
        {
            let head = ledger.stream(&stored.name)?.head;
            streams.insert(
                stored.name.clone(),
                Arc::new(Stream::new(stored.clone(), head)),
            );
        }
        Ok(())
    }

    fn stream(&self, name: &str) -> Arc<Stream> {
        let streams = self
            .streams
            .lock()
            .expect("no panic happens under this lock");
        Arc::clone(streams.get(name).expect("every kept relation has a stream"))
    }

    /// Starts every node. Consumers first, so that no bell rings unheard.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn start(&self) -> anyhow::Result<()> {
        let session = self.shared.database.session()?;
        let needed = self.needed();
        for node in self
            .plan
            .nodes
            .iter()
            .filter(|node| needed.contains(&node.name))
        {
            if node.derived().is_some() {
                self.start_consumer(&session, node, Part::Relation)?;
            }
            if matches!(node.work, Work::Sink(_)) {
                self.start_consumer(&session, node, Part::Sink)?;
            }
        }
        for node in &self.plan.nodes {
            if matches!(node.work, Work::Source(_)) {
                self.start_source(node);
            }
        }
        let (streams, shared, door) = (
            Arc::clone(&self.streams),
            Arc::clone(&self.shared),
            self.door.clone(),
        );
        self.executor
            .spawn(janitor::run(shared, door, move || streams_of(&streams)))
            .detach();
        Ok(())
    }

    /// Returns the entities that have to run: a view with lookups only if somebody reads it, since it
    /// would ask for nobody.
    fn needed(&self) -> std::collections::HashSet<String> {
        let mut needed = std::collections::HashSet::new();
        for node in self.plan.nodes.iter().rev() {
            let asked_for = match &node.work {
                Work::Derived(plan) => plan.feed.lookups.is_empty() || needed.contains(&node.name),
                Work::View { .. } => needed.contains(&node.name),
                _ => true,
            };
            if asked_for {
                needed.insert(node.name.clone());
                needed.extend(node.reads.iter().cloned());
            }
        }
        needed
    }

    fn start_consumer(
        &self,
        session: &Session,
        node: &Arc<Node>,
        part: Part,
    ) -> anyhow::Result<()> {
        let (bell, inbox) = inbox();
        let (name, feed, keeps_all, stream) = match (part, &node.work) {
            (Part::Sink, Work::Sink(plan)) => (node.name.clone(), &plan.feed, false, None),
            _ => {
                let plan = node
                    .derived()
                    .expect("a relation's node is made of its plan");
                let keeps_all = matches!(plan.maintenance, Maintenance::Recompute { .. });
                let stream = self.stream(&plan.stored.name);
                (
                    plan.stored.name.clone(),
                    &plan.feed,
                    keeps_all,
                    Some(stream),
                )
            }
        };
        let inputs = self.inputs(feed);
        for input in &inputs {
            let position = Ledger::new(session)
                .position(&name, &input.stored.name)?
                .unwrap_or(0);
            let pending = pending_rows(session, input, position)?;
            let keeps_all = keeps_all && input.stored.layout == Layout::Passing;
            input.add_reader(&name, position, pending, keeps_all);
            input.subscribe(bell.clone());
        }
        let consumer = Consumer {
            shared: Arc::clone(&self.shared),
            door: self.door.clone(),
            node: Arc::clone(node),
            part,
            inputs,
            stream,
            inbox,
            stop: self.stop_all.clone(),
            once: self.options.once,
        };
        self.tasks().push(self.executor.spawn(consumer.run()));
        Ok(())
    }

    fn inputs(&self, feed: &Feed) -> Vec<Arc<Stream>> {
        feed.inputs
            .iter()
            .map(|input| self.stream(&input.stored.name))
            .collect()
    }

    fn start_source(&self, node: &Arc<Node>) {
        let Work::Source(plan) = &node.work else {
            return;
        };
        if self.options.once
            && matches!(plan.connector.cadence().0, Cadence::Continuous)
            && plan.connector.endless()
        {
            tracing::warn!(entity = %node.name, "left out of --once: it never ends");
            self.stream(&plan.stored.name).close();
            return;
        }
        let source = SourceNode {
            shared: Arc::clone(&self.shared),
            door: self.door.clone(),
            node: Arc::clone(node),
            stream: self.stream(&plan.stored.name),
            stop: self.stop_sources.clone(),
            stopped: self.asleep.clone(),
            once: self.options.once,
        };
        self.tasks().push(self.executor.spawn(source.run()));
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<smol::Task<bool>>> {
        self.tasks.lock().expect("no panic happens under this lock")
    }

    /// Tells the sources to stop; consumers then take what is there and end.
    pub fn stop(&self) {
        self.stop_sources.stop();
        self.awake
            .lock()
            .expect("no panic happens under this lock")
            .take();
    }

    /// Drives the nodes until all have ended, or until `interrupted` gives a value: then stops the
    /// sources and lets the rest drain, for the time the options allow.
    pub fn run(&self, interrupted: impl Future<Output = ()>) -> Ended {
        let executor = Arc::clone(&self.executor);
        let (end, ended) = async_channel::bounded::<()>(1);
        let driver = std::thread::Builder::new()
            .name("nodes".to_owned())
            .spawn(move || {
                // An error says that the run is over, as a message would.
                smol::block_on(executor.run(async { ended.recv().await.unwrap_or_default() }));
            });
        let tasks = std::mem::take(&mut *self.tasks());
        let all = async {
            let mut ok = true;
            for task in tasks {
                ok &= task.await;
            }
            ok
        };
        let outcome = smol::block_on(self.until_drained(all, interrupted));
        drop(end);
        if let Ok(driver) = driver
            && driver.join().is_err()
        {
            tracing::error!("the thread of the nodes panicked");
        }
        if let Err(error) = janitor::trim(&self.shared, &self.streams()) {
            tracing::warn!("cannot delete what has been consumed: {error:#}");
        }
        outcome
    }

    async fn until_drained(
        &self,
        all: impl Future<Output = bool>,
        interrupted: impl Future<Output = ()>,
    ) -> Ended {
        let mut all = std::pin::pin!(all);
        let first = smol::future::or(async { Some(all.as_mut().await) }, async {
            interrupted.await;
            None
        });
        if let Some(ok) = first.await {
            return if ok { Ended::Well } else { Ended::Badly };
        }
        self.stop();
        let timeout = self.options.drain_timeout;
        let drained = smol::future::or(async { Some(all.as_mut().await) }, async {
            smol::Timer::after(timeout).await;
            None
        });
        if let Some(ok) = drained.await {
            return if ok { Ended::Well } else { Ended::Badly };
        }
        tracing::warn!(
            ?timeout,
            "not everything was written in time; the rest follows at the next run"
        );
        self.stop_all.stop();
        // What is under way gets a moment to end by itself; what is committed is safe either way.
        let last = smol::future::or(async { Some(all.as_mut().await) }, async {
            smol::Timer::after(GRACE).await;
            None
        });
        last.await;
        Ended::Well
    }
}

/// The time that calls under way get after the drain timeout.
const GRACE: Duration = Duration::from_secs(1);

fn streams_of(streams: &Mutex<HashMap<String, Arc<Stream>>>) -> Vec<Arc<Stream>> {
    let streams = streams.lock().expect("no panic happens under this lock");
    streams.values().cloned().collect()
}

/// Returns the number of logged rows after a position.
fn pending_rows(session: &Session, stream: &Stream, position: u64) -> anyhow::Result<u64> {
    if stream.head() == position {
        return Ok(0);
    }
    let count = session.number(&stream.stored.pending_sql(), &[&i64::try_from(position)?])?;
    Ok(u64::try_from(count.unwrap_or(0))?)
}
