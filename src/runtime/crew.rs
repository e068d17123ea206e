//! The nodes at work: how each is told to stop, and when all have ended.
//!
//! Knows nothing of what a node does. Called by the run, which hires and dismisses.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::Executor;

use crate::connector::Stop;

/// What a node does for the pipeline: sources stop first, so that the others can take what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Consumer,
    /// Writes out.
    Sink,
}

/// The node's end of the leash.
#[derive(Clone)]
pub struct Leash {
    /// Given when the node has to stop; seen inside blocking calls.
    pub stop: Stop,
    /// Closed at the same time; wakes a node that sleeps.
    pub stopped: Receiver<()>,
    /// Only this node stops, so that others may go on with what it makes.
    pub dismissed: Arc<AtomicBool>,
}

impl Leash {
    /// Waits until the node has to stop.
    pub async fn pulled(&self) {
        // Nothing is ever sent: the error says that the other end is gone.
        self.stopped.recv().await.unwrap_or_default();
    }

    /// Says whether the node is to stop by itself, not with the run: another may take its place.
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }
}

/// One task of a node.
struct Member {
    id: u64,
    role: Role,
    stop: Stop,
    awake: Option<Sender<()>>,
    /// Closed when the task has ended.
    ended: Receiver<()>,
    dismissed: Arc<AtomicBool>,
}

impl Member {
    fn tell_to_stop(&mut self) {
        self.stop.stop();
        self.awake.take();
    }
}

#[derive(Default)]
struct Inner {
    members: HashMap<String, Vec<Member>>,
    /// The nodes that were started and not dismissed, those that have ended by themselves included.
    started: HashSet<String>,
    next_id: u64,
    failed: bool,
    /// One of the sinks has given up.
    sink_failed: bool,
    /// The run goes on although nobody is at work: statements may bring more.
    held: bool,
    stopping: bool,
}

/// After this time it is said whom a dismissal waits for.
const PATIENCE: Duration = Duration::from_secs(15);

/// All tasks of a run.
pub struct Crew {
    inner: Mutex<Inner>,
    /// Rung at each change that may end the run.
    bell: (Sender<()>, Receiver<()>),
    /// Rung when the last sink has ended and any of them had given up.
    sinkless: (Sender<()>, Receiver<()>),
}

impl Default for Crew {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            bell: async_channel::bounded(1),
            sinkless: async_channel::bounded(1),
        }
    }
}

impl Crew {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic happens under this lock")
    }

    fn ring(&self) {
        // A full bell is as good as a ringing one.
        self.bell.0.try_send(()).unwrap_or_default();
    }

    /// Puts a task of the node `name` to work.
    pub fn hire<F: Future<Output = bool> + Send + 'static>(
        self: &Arc<Self>,
        executor: &Executor<'static>,
        (name, role): (&str, Role),
        work: impl FnOnce(Leash) -> F,
    ) {
        let (awake, stopped) = async_channel::bounded(1);
        let (done, ended) = async_channel::bounded(1);
        let (stop, dismissed) = (Stop::default(), Arc::new(AtomicBool::new(false)));
        let future = work(Leash {
            stop: stop.clone(),
            stopped,
            dismissed: Arc::clone(&dismissed),
        });
        let mut inner = self.inner();
        let id = inner.next_id;
        inner.next_id += 1;
        let stopping = inner.stopping;
        inner.started.insert(name.to_owned());
        let members = inner.members.entry(name.to_owned()).or_default();
        members.push(Member {
            id,
            role,
            stop,
            awake: Some(awake),
            ended,
            dismissed,
        });
        if let (true, Role::Source, Some(member)) = (stopping, role, members.last_mut()) {
            member.tell_to_stop();
        }
        drop(inner);
        let leaving = Leaving {
            crew: Arc::clone(self),
            name: name.to_owned(),
            id,
            ok: false,
            _done: done,
        };
        executor
            .spawn(async move {
                // As a whole, so that it is dropped with the task.
                let mut leaving = leaving;
                leaving.ok = future.await;
            })
            .detach();
    }

    fn left(&self, name: &str, id: u64, ok: bool) {
        let mut inner = self.inner();
        if let Some(members) = inner.members.get_mut(name)
            && let Some(at) = members.iter().position(|member| member.id == id)
        {
            let member = members.swap_remove(at);
            if members.is_empty() {
                inner.members.remove(name);
            }
            let dismissed = member.dismissed.load(Ordering::Acquire);
            let gave_up = !ok && !dismissed;
            inner.failed |= gave_up;
            if member.role == Role::Sink && !dismissed {
                inner.sink_failed |= gave_up;
                let mut others = inner.members.values().flatten();
                if inner.sink_failed && !others.any(|other| other.role == Role::Sink) {
                    // A full channel says it already.
                    self.sinkless.0.try_send(()).unwrap_or_default();
                }
            }
        }
        drop(inner);
        self.ring();
    }

    /// Says whether nobody is at work.
    pub fn is_empty(&self) -> bool {
        self.inner().members.is_empty()
    }

    /// Says whether a sink has given up.
    pub fn has_lost_a_sink(&self) -> bool {
        self.inner().sink_failed
    }

    /// Says whether a node was started and not dismissed; it may have ended by itself.
    pub fn has_started(&self, name: &str) -> bool {
        self.inner().started.contains(name)
    }

    /// Says whether a node was started, and none of its tasks is left.
    pub fn has_ended(&self, name: &str) -> bool {
        let inner = self.inner();
        inner.started.contains(name) && !inner.members.contains_key(name)
    }

    /// Forgets nodes that have ended, so that they can be started again.
    pub fn forget_ended(&self, names: &[String]) {
        let mut inner = self.inner();
        for name in names {
            if !inner.members.contains_key(name) {
                inner.started.remove(name);
            }
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.inner().stopping
    }

    /// Lets the run go on when nobody is at work any more.
    pub fn hold(&self) {
        self.inner().held = true;
    }

    /// Tells the sources to stop; the others take what is there and end.
    pub fn stop_sources(&self) {
        let mut inner = self.inner();
        inner.stopping = true;
        let members = inner.members.values_mut().flatten();
        for member in members.filter(|member| member.role == Role::Source) {
            member.tell_to_stop();
        }
        drop(inner);
        self.ring();
    }

    /// Tells everybody to stop, finished or not.
    pub fn stop_all(&self) {
        self.inner()
            .members
            .values_mut()
            .flatten()
            .for_each(Member::tell_to_stop);
    }

    /// Stops nodes and waits until their tasks have ended; how they end is no failure of the run.
    ///
    /// # Errors
    /// Those that had not ended after `bound`; they have been told, and count as started until they end.
    pub fn dismiss(&self, names: &[String], bound: Duration) -> Result<(), Late> {
        let mut waiting = Vec::new();
        let mut inner = self.inner();
        for name in names {
            inner.started.remove(name);
            for member in inner.members.get_mut(name).into_iter().flatten() {
                member.dismissed.store(true, Ordering::Release);
                member.tell_to_stop();
                waiting.push((name.clone(), member.ended.clone()));
            }
        }
        drop(inner);
        let mut late = Late(waiting).after(bound.min(PATIENCE));
        if !late.is_empty() && bound > PATIENCE {
            let whom = crate::diagnostic::list_names(late.names().iter().map(String::as_str));
            tracing::warn!("waiting for {whom} to end what is being done");
            late = late.after(bound - PATIENCE);
        }
        if late.is_empty() {
            return Ok(());
        }
        self.inner().started.extend(late.names());
        Err(late)
    }

    /// Returns when no sink is left, and not because all have written what there was: nobody gets what the run brings.
    pub async fn sinkless(&self) {
        // The crew holds the other end.
        self.sinkless.1.recv().await.unwrap_or_default();
    }

    /// Returns when nobody is at work any more, with whether all ended well.
    pub async fn all_left(&self) -> bool {
        loop {
            {
                let inner = self.inner();
                if inner.members.is_empty() && (!inner.held || inner.stopping) {
                    return !inner.failed;
                }
            }
            // The crew holds the other end, so there is always a message to come.
            self.bell.1.recv().await.unwrap_or_default();
        }
    }
}

/// Tasks that were told to stop: the name of the node of each, and what is closed when it has ended.
pub struct Late(Vec<(String, Receiver<()>)>);

impl Late {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    /// Returns when all have ended.
    pub async fn ended(&self) {
        for (_, ended) in &self.0 {
            // Nothing is ever sent: the error says that the task is gone.
            ended.recv().await.unwrap_or_default();
        }
    }

    /// Waits until all have ended, for so long at most; returns those that have not.
    fn after(mut self, bound: Duration) -> Self {
        smol::block_on(smol::future::or(self.ended(), async {
            smol::Timer::after(bound).await;
        }));
        self.0.retain(|(_, ended)| !ended.is_closed());
        self
    }
}

/// Notes the end of a task, also of one that panics.
struct Leaving {
    crew: Arc<Crew>,
    name: String,
    id: u64,
    ok: bool,
    _done: Sender<()>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.crew.left(&self.name, self.id, self.ok);
    }
}
