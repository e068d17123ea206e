//! Starts the nodes of a plan and ends them in order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::Executor;

use super::consumer::{Consumer, Part};
use super::crew::{Crew, Role};
use super::door::Door;
use super::shared::Shared;
use super::source::SourceNode;
use super::stream::{Keeps, Stream, inbox};
use super::{janitor, state};
use crate::connector::Cadence;
use crate::engine::{Heads, Layout, Ledger, Session};
use crate::plan::{Feed, Maintenance, Node, Plan, Work};
use crate::sql::EntityKind;

/// How a run begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    pub once: bool,
    /// The state has just been made: nothing of a run is in it.
    pub is_new: bool,
    /// How long consumers may take to take what is there after the sources have stopped.
    pub drain_timeout: Duration,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// Something failed, or did not drain in time.
    Badly,
    /// The engine gave the database up, so that this process can do nothing more with it. What was committed
    /// is on the disk.
    StateLost,
}

/// The streams that a consumer reads, and the one that it makes.
pub(super) type Ends = (Vec<Arc<Stream>>, Option<Arc<Stream>>);

/// A pipeline that runs.
pub struct Runtime {
    pub shared: Arc<Shared>,
    pub(super) plan: RwLock<Arc<Plan>>,
    pub(super) executor: Arc<Executor<'static>>,
    pub(super) door: Door,
    options: RunOptions,
    pub(super) streams: Arc<Mutex<HashMap<String, Arc<Stream>>>>,
    pub(super) crew: Arc<Crew>,
    driver: Mutex<Option<Driver>>,
    /// Held while the pipeline changes.
    changing: Mutex<()>,
}

/// The thread on which the nodes' tasks run.
struct Driver {
    thread: JoinHandle<()>,
    /// Ends the thread when it is dropped.
    end: Sender<()>,
}

impl Driver {
    fn start(executor: &Arc<Executor<'static>>) -> std::io::Result<Self> {
        let executor = Arc::clone(executor);
        let (end, ended) = async_channel::bounded::<()>(1);
        let thread = std::thread::Builder::new()
            .name("nodes".to_owned())
            .spawn(move || {
                // An error says that the run is over, as a message would.
                smol::block_on(executor.run(async { ended.recv().await.unwrap_or_default() }));
            })?;
        Ok(Self { thread, end })
    }

    fn end(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the nodes panicked");
        }
    }
}

impl Runtime {
    /// Prepares a run over a state that has been brought in line with the plan.
    ///
    /// # Errors
    /// The system gives no threads, or DuckDB's own.
    pub fn new(shared: Arc<Shared>, plan: Plan, options: RunOptions) -> anyhow::Result<Self> {
        let runtime = Self {
            shared,
            plan: RwLock::new(Arc::new(plan)),
            executor: Arc::new(Executor::new()),
            door: Door::open()?,
            options,
            streams: Arc::default(),
            crew: Arc::default(),
            driver: Mutex::default(),
            changing: Mutex::default(),
        };
        let nodes = &runtime.plan().nodes;
        match options.is_new {
            true => {
                runtime.add_streams(nodes, &HashMap::new());
                runtime.shared.newcomers.note(nodes);
            }
            false => runtime.make_streams(nodes)?,
        }
        Ok(runtime)
    }

    /// Returns the plan as it is now: statements may change it.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().expect("no panic happens under this lock"))
    }

    /// Returns the streams, for lag and positions.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        streams_of(&self.streams)
    }

    /// Adds the streams of nodes whose tables are in the state.
    pub(super) fn make_streams(&self, nodes: &[Arc<Node>]) -> anyhow::Result<()> {
        let session = self.shared.database.session()?;
        self.add_streams(nodes, &Ledger::new(&session).heads()?);
        Ok(())
    }

    fn add_streams(&self, nodes: &[Arc<Node>], heads: &Heads) {
        for stored in nodes.iter().flat_map(|node| state::stored_of(node)) {
            let (head, watermark) = heads.get(&stored.name).copied().unwrap_or_default();
            let stream = Arc::new(Stream::new(stored.clone(), head));
            if let Some(watermark) = watermark {
                stream.set_watermark(head, watermark);
            }
            self.lock_streams().insert(stored.name.clone(), stream);
        }
    }

    pub(super) fn lock_streams(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Stream>>> {
        self.streams
            .lock()
            .expect("no panic happens under this lock")
    }

    pub(super) fn stream(&self, name: &str) -> Arc<Stream> {
        let streams = self.lock_streams();
        Arc::clone(streams.get(name).expect("every kept relation has a stream"))
    }

    /// Starts every node, on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread, or DuckDB's own.
    pub fn start(&self) -> anyhow::Result<()> {
        self.start_needed(&self.plan())?;
        let (streams, shared, door) = (
            Arc::clone(&self.streams),
            Arc::clone(&self.shared),
            self.door.clone(),
        );
        self.executor
            .spawn(janitor::run(shared, door, move || streams_of(&streams)))
            .detach();
        *self.driver() = Some(Driver::start(&self.executor)?);
        Ok(())
    }

    /// Starts the nodes that have to run and do not: the sources first, as there is nothing before their rows, and
    /// the sinks before relations, which have the most to prepare. Every consumer has its bell by then.
    ///
    /// # Errors
    /// DuckDB's own.
    pub(super) fn start_needed(&self, plan: &Plan) -> anyhow::Result<()> {
        let session = self.shared.database.session()?;
        let nodes = self.idle(plan);
        let sinks = nodes
            .iter()
            .filter(|node| matches!(node.work, Work::Sink(_)))
            .map(|node| (node, Part::Sink));
        let relations = nodes
            .iter()
            .filter(|node| node.derived().is_some())
            .map(|node| (node, Part::Relation));
        let consumers: Vec<(&Arc<Node>, Waiting)> = (sinks.chain(relations))
            .map(|(node, part)| Ok((*node, self.waiting(&session, node, part)?)))
            .collect::<anyhow::Result<_>>()?;
        let (first, others): (Vec<_>, Vec<_>) = consumers
            .into_iter()
            .partition(|(node, waiting)| waiting.begins_first(node));
        for (node, waiting) in first {
            self.start_consumer(node, waiting, |consumer| consumer.begin_here());
        }
        for node in &nodes {
            if matches!(node.work, Work::Source(_)) {
                self.start_source(node);
            }
        }
        for (node, waiting) in others {
            self.start_consumer(node, waiting, |_| ());
        }
        Ok(())
    }

    /// Returns the nodes that have to run and do not, each after what it reads; the streams they make are open. One
    /// that has ended is among them if what it reads begins again.
    fn idle<'p>(&self, plan: &'p Plan) -> Vec<&'p Arc<Node>> {
        let needed = needed(plan);
        let mut nodes: Vec<&Arc<Node>> = Vec::new();
        // With views that are no nodes of their own, through which others read those that begin.
        let mut begin: HashSet<&str> = HashSet::new();
        for node in plan.nodes.iter().filter(|node| needed.contains(&node.name)) {
            let reads_one = node.reads.iter().any(|read| begin.contains(read.as_str()));
            let begins = match &node.work {
                Work::View { .. } => reads_one,
                Work::Source(_) | Work::Derived(_) | Work::Sink(_) => {
                    let again = reads_one && self.crew.has_ended(&node.name);
                    again || !self.crew.has_started(&node.name)
                }
                _ => false,
            };
            if begins {
                begin.insert(&node.name);
                if !matches!(node.work, Work::View { .. }) {
                    nodes.push(node);
                }
            }
        }
        for stored in nodes.iter().flat_map(|node| state::stored_of(node)) {
            self.stream(&stored.name).open();
        }
        nodes
    }

    /// Makes what a consumer waits with: its inputs know it and its bell.
    fn waiting(&self, session: &Session, node: &Node, part: Part) -> anyhow::Result<Waiting> {
        let (bell, inbox) = inbox();
        let (inputs, stream) = self.ends(session, node, part)?;
        for input in &inputs {
            input.subscribe(bell.clone());
        }
        Ok(Waiting {
            part,
            inputs,
            stream,
            inbox,
        })
    }

    fn start_consumer(&self, node: &Arc<Node>, waiting: Waiting, begin: impl FnOnce(&Consumer)) {
        let Waiting {
            part,
            inputs,
            stream,
            inbox,
        } = waiting;
        let consumer = |leash| Consumer {
            shared: Arc::clone(&self.shared),
            door: self.door.clone(),
            node: Arc::clone(node),
            part,
            inputs,
            stream,
            inbox,
            leash,
            once: self.options.once,
        };
        // Once, the sources end by themselves, and what they bring is for the next run too.
        let role = match part {
            Part::Sink if !self.options.once => Role::Sink,
            _ => Role::Consumer,
        };
        let role = (node.name.as_str(), role);
        self.crew.hire(&self.executor, role, |leash| {
            let consumer = consumer(leash);
            begin(&consumer);
            consumer.run()
        });
    }

    /// Returns the streams that a consumer reads, which know it from now on, and the one that it makes.
    pub(super) fn ends(&self, session: &Session, node: &Node, part: Part) -> anyhow::Result<Ends> {
        let (name, feed, maintenance, stream) = match (part, &node.work) {
            (Part::Sink, Work::Sink(plan)) => {
                (node.name.clone(), &plan.feed, &Maintenance::Linear, None)
            }
            _ => {
                let plan = node
                    .derived()
                    .expect("a relation's node is made of its plan");
                let stream = self.stream(&plan.stored.name);
                (
                    plan.stored.name.clone(),
                    &plan.feed,
                    &plan.maintenance,
                    Some(stream),
                )
            }
        };
        let inputs = self.inputs(feed);
        if let Some(stream) = &stream {
            stream.set_upstream(inputs.clone());
        }
        for (place, input) in inputs.iter().enumerate() {
            // Before the first batch, there is nothing to ask for.
            let position = match input.head() {
                0 => None,
                _ => Ledger::new(session).position(&name, &input.stored.name)?,
            };
            let position = position.unwrap_or(0);
            let pending = pending_rows(session, input, position)?;
            let keeps = if maintenance.rereads(place) && input.stored.layout == Layout::Passing {
                Keeps::All
            } else {
                Keeps::Nothing
            };
            input.add_reader(&name, position, pending, keeps);
        }
        Ok((inputs, stream))
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
        let source = |leash| SourceNode {
            shared: Arc::clone(&self.shared),
            door: self.door.clone(),
            node: Arc::clone(node),
            stream: self.stream(&plan.stored.name),
            leash,
            once: self.options.once,
        };
        self.stream(&plan.stored.name)
            .set_idle_timeout(plan.idle_timeout());
        let role = (node.name.as_str(), Role::Source);
        self.crew
            .hire(&self.executor, role, |leash| source(leash).run());
    }

    /// Waits until nobody else changes the pipeline.
    pub(super) fn changing(&self) -> std::sync::MutexGuard<'_, ()> {
        // Nothing can be left half done under this lock.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the run is about to end.
    pub fn is_stopping(&self) -> bool {
        self.crew.is_stopping()
    }

    /// Returns the jobs that wait for one of the engine's threads.
    pub fn jobs_waiting(&self) -> usize {
        self.door.waiting()
    }

    /// Tells the sources to stop; consumers then take what is there and end.
    pub fn stop(&self) {
        self.crew.stop_sources();
    }

    fn driver(&self) -> std::sync::MutexGuard<'_, Option<Driver>> {
        self.driver
            .lock()
            .expect("no panic happens under this lock")
    }

    /// Waits until all nodes have ended, or until `interrupted` gives a value: then stops the sources and lets
    /// the rest drain, for the time the options allow.
    pub fn run(&self, interrupted: impl Future<Output = ()>) -> Ended {
        let outcome = smol::block_on(smol::future::or(
            async {
                self.shared.state_lost().await;
                Ended::StateLost
            },
            self.until_drained(self.crew.all_left(), interrupted),
        ));
        let driver = self.driver().take();
        if outcome == Ended::StateLost {
            // Whoever met the reason, a full disk, may say so after others met what came of it.
            self.stop();
            let last = smol::future::or(async { Some(self.crew.all_left().await) }, async {
                smol::Timer::after(GRACE).await;
                None
            });
            smol::block_on(last);
            self.crew.stop_all();
            return outcome;
        }
        if let Some(driver) = driver {
            driver.end();
        }
        self.note_last_rejects();
        let when = match self.crew.is_empty() {
            true => janitor::When::AtEnd,
            // Somebody did not end in time, and may still write.
            false => janitor::When::Between,
        };
        if let Err(error) = janitor::trim(&self.shared, &self.streams(), when) {
            tracing::warn!("cannot delete what has been consumed: {error:#}");
        }
        outcome
    }

    /// Says how many rows of lookups did not fit that the log has not been told of; sources say it themselves.
    pub(super) fn note_last_rejects(&self) {
        for node in &self.plan().nodes {
            if let Work::Lookup(plan) = &node.work {
                let on_error = plan.connector.limits().on_error;
                self.shared.note_last_rejects(&node.name, on_error);
            }
        }
    }

    async fn until_drained(
        &self,
        all: impl Future<Output = bool>,
        interrupted: impl Future<Output = ()>,
    ) -> Ended {
        let mut all = std::pin::pin!(all);
        let sinkless = async {
            self.crew.sinkless().await;
            tracing::info!("stopping: no sink is left");
        };
        let first = smol::future::or(async { Some(all.as_mut().await) }, async {
            smol::future::or(interrupted, sinkless).await;
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
        let ended = match self.crew.has_lost_a_sink() {
            true => Ended::Badly,
            false => Ended::Well,
        };
        self.crew.stop_all();
        // What is under way gets a moment to end by itself; what is committed is safe either way.
        let last = smol::future::or(async { Some(all.as_mut().await) }, async {
            smol::Timer::after(GRACE).await;
            None
        });
        last.await;
        ended
    }
}

/// A consumer before it is started.
struct Waiting {
    part: Part,
    inputs: Vec<Arc<Stream>>,
    stream: Option<Arc<Stream>>,
    inbox: Receiver<()>,
}

impl Waiting {
    /// Says whether this has to have its first content before any source brings something: a relation that no source
    /// brings anything to, or one whose content at the start its sink leaves out.
    fn begins_first(&self, node: &Node) -> bool {
        let leaves_out = matches!(&node.work, Work::Sink(plan) if !plan.snapshot);
        self.part == Part::Relation
            && self.inputs.iter().all(|input| input.head() == 0)
            && (self.inputs.is_empty() || leaves_out)
    }
}

/// Returns the entities that have to run: a view with lookups only if somebody reads it, since it would
/// ask for nobody.
pub(super) fn needed(plan: &Plan) -> HashSet<String> {
    let mut needed = HashSet::new();
    for node in plan.nodes.iter().rev() {
        let asked_for = match &node.work {
            Work::Derived(plan) => {
                let kept = node.kind == EntityKind::MaterializedView;
                kept || plan.feed.lookups.is_empty() || needed.contains(&node.name)
            }
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
