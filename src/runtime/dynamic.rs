//! A pipeline that is changed while it runs: nodes stop, the state changes, other nodes start.
//!
//! Called by whoever executes statements, one change at a time, on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use super::crew::Late;
use super::run::{Runtime, needed};
use super::state;
use crate::engine::{Session, SqlFault};
use crate::plan::{Feed, Node, Plan, Work};
use crate::sql::EntityKind;

/// How long a change waits for what an entity is doing: longer than a request may take by default.
const DISMISS_MAX: Duration = Duration::from_secs(60);

/// How often a change is tried against transactions that touch the same rows of the engine's own tables.
/// Each of those takes milliseconds.
const CONFLICTS_MAX: u32 = 50;

/// The pause after a conflict.
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);

/// What is to become of a pipeline.
pub struct Change {
    /// The plan afterwards.
    pub plan: Plan,
    /// The entities whose tables go, those that are made anew included; readers before what they read.
    pub gone: Vec<(String, EntityKind)>,
    /// The nodes whose tables come, each after what it reads.
    pub come: Vec<Arc<Node>>,
    /// The nodes that stop and go on with the new plan, their tables as they are.
    pub restarted: Vec<String>,
}

impl Change {
    /// Changes the state, in one transaction; `more` runs in it, at its end.
    ///
    /// # Errors
    /// DuckDB's own; then nothing has changed.
    pub fn apply(
        &self,
        session: &Session,
        more: &dyn Fn(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut conflicts = 0;
        loop {
            let applied = session.transaction(|session| {
                for (name, kind) in &self.gone {
                    state::drop_entity(session, name, *kind)?;
                }
                state::create(session, &self.come.iter().collect::<Vec<_>>(), false)?;
                more(session)
            });
            match applied {
                Err(error) if is_conflict(&error) && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    std::thread::sleep(CONFLICT_PAUSE);
                }
                applied => return applied,
            }
        }
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<SqlFault>()
        .is_some_and(|fault| matches!(fault.class.as_ref(), "TransactionContext" | "Transaction"))
}

impl Runtime {
    /// Changes the pipeline: stops the nodes that go, changes the state in one transaction, starts those
    /// that come. Other nodes go on meanwhile. Blocking.
    ///
    /// # Errors
    /// The run is ending; a node does not stop in time, since it waits for an answer from outside; or DuckDB's
    /// own. Then everything is as before, except that a node that did not stop in time is started again once it has
    /// stopped.
    pub fn change(
        self: &Arc<Self>,
        change: Change,
        more: &dyn Fn(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let _changing = self.changing();
        anyhow::ensure!(!self.crew.is_stopping(), "the pipeline is stopping");
        self.crew.hold();
        let session = self.shared.database.session()?;
        let old = self.plan();
        let stopped = self.stopped_by(&old, &change);
        let names: Vec<String> = stopped.iter().map(|node| node.name.clone()).collect();
        if let Err(late) = self.crew.dismiss(&names, DISMISS_MAX) {
            let whom = crate::diagnostic::list_names(late.names().iter().map(String::as_str));
            self.start_again(late);
            self.start_needed(&old)?;
            anyhow::bail!(
                "{whom} did not stop within {DISMISS_MAX:?}, since an answer from outside is awaited: \
                 nothing has changed; give the statement again"
            );
        }
        let gone: Vec<Arc<Node>> = (change.gone.iter())
            .filter_map(|(name, _)| old.node(name).cloned())
            .collect();
        for node in &gone {
            self.retire(node);
        }
        if let Err(error) = change.apply(&session, more) {
            self.make_streams(&gone)?;
            self.start_needed(&old)?;
            return Err(error);
        }
        for node in &stopped {
            self.shared.board.remove(&node.name);
            // Until who is started again reads on, what it has not read is kept for it.
            if !change.restarted.contains(&node.name) {
                self.forget_reader(node);
            }
        }
        self.make_streams(&change.come)?;
        self.shared.newcomers.note(&change.come);
        let plan = Arc::new(change.plan);
        *self.plan.write().expect("no panic happens under this lock") = Arc::clone(&plan);
        self.shared.set_secrets(plan.secrets.clone());
        self.start_needed(&plan)
    }

    /// Starts nodes that were told to stop for nothing, once they have stopped.
    fn start_again(self: &Arc<Self>, late: Late) {
        let runtime = Arc::downgrade(self);
        let waiting = async move {
            late.ended().await;
            let start = move || {
                let Some(runtime) = runtime.upgrade() else {
                    return;
                };
                // As it is by now: another statement may have come first.
                let _changing = runtime.changing();
                runtime.crew.forget_ended(&late.names());
                if let Err(error) = runtime.start_needed(&runtime.plan()) {
                    tracing::error!("cannot start what had stopped: {error:#}");
                }
            };
            smol::unblock(start).await;
        };
        self.executor.spawn(waiting).detach();
    }

    /// Returns the nodes to stop: those that go, and views with lookups that nobody reads any more.
    fn stopped_by(&self, old: &Plan, change: &Change) -> Vec<Arc<Node>> {
        let needed = needed(&change.plan);
        let named = (change.gone.iter().map(|(name, _)| name)).chain(&change.restarted);
        let named: Vec<&String> = named.collect();
        let stops = |node: &&Arc<Node>| {
            named.contains(&&node.name)
                || (self.crew.has_started(&node.name) && !needed.contains(&node.name))
        };
        old.nodes.iter().filter(stops).cloned().collect()
    }

    /// Lets the streams a node read forget it, so that nothing is kept for it.
    fn forget_reader(&self, node: &Node) {
        let forget = |reader: &str, feed: &Feed| {
            let streams = self.lock_streams();
            for input in &feed.inputs {
                if let Some(stream) = streams.get(&input.stored.name) {
                    stream.remove_reader(reader);
                }
            }
        };
        if let Some(plan) = node.derived() {
            forget(&plan.stored.name, &plan.feed);
        }
        if let Work::Sink(plan) = &node.work {
            forget(&node.name, &plan.feed);
        }
    }

    fn retire(&self, node: &Node) {
        let mut streams = self.lock_streams();
        for stored in state::stored_of(node) {
            if let Some(stream) = streams.remove(&stored.name) {
                stream.retire();
                stream.close();
            }
            self.shared.board.remove(&stored.name);
        }
    }
}
