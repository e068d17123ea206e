//! Parses the queries of a catalog, and checks its entities, on as many threads as are worth it, each entity
//! after all it reads.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::bind::Binder;
use super::build::Builder;
use super::node::Node;
use crate::catalog::{Catalog, Entity, Graph};
use crate::diagnostic::Diagnostic;
use crate::engine::syntax::Query;
use crate::sql::SqlText;

/// Another thread with a session of its own is started for so many entities each.
const ENTITIES_PER_THREAD: usize = 4;

/// Another thread parses for so many queries each.
const QUERIES_PER_THREAD: usize = 32;

/// More threads would only wait for the locks of the engine's catalog.
const THREADS_MAX: usize = 4;

/// Returns how many threads share some work.
fn threads_for(count: usize, per_thread: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (count.div_ceil(per_thread)).min(cores.min(THREADS_MAX))
}

/// Parses queries as [`Binder::parse`].
///
/// # Errors
/// As [`Binder::parse`], and no session for another thread.
pub(super) fn parse(
    binder: &Binder,
    catalog: &Catalog,
    queries: &[&SqlText],
) -> anyhow::Result<Vec<Result<Query, Diagnostic>>> {
    let threads = threads_for(queries.len(), QUERIES_PER_THREAD);
    if threads <= 1 {
        return binder.parse(catalog, queries);
    }
    let another = binder.makes_others();
    let mut shares = queries.chunks(queries.len().div_ceil(threads));
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let helpers: Vec<_> = shares
            .map(|share| scope.spawn(|| another()?.parse(catalog, share)))
            .collect();
        let mut parsed = binder.parse(catalog, own)?;
        for helper in helpers {
            parsed.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(parsed)
    })
}

/// Returns the nodes of the sound entities, each after all it reads. Faults are noted in the builder.
pub(super) fn nodes(builder: &mut Builder<'_>, graph: &Graph) -> Vec<Arc<Node>> {
    let entities: Vec<&Entity> = builder.catalog.entities().collect();
    let schedule = Schedule::new(graph);
    let threads = threads_for(entities.len(), ENTITIES_PER_THREAD);
    let another = builder.binder.makes_others();
    let common = builder.common();
    let faults: Vec<Diagnostic> = thread::scope(|scope| {
        let help = || {
            // Without a session, the other threads do it all.
            let Ok(binder) = another() else {
                return Vec::new();
            };
            let mut builder = Builder::new(common.clone(), &binder);
            work(&mut builder, &schedule, &entities);
            builder.faults
        };
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(help)).collect();
        work(builder, &schedule, &entities);
        let noted = helpers.into_iter().map(|helper| match helper.join() {
            Ok(faults) => faults,
            Err(panic) => resume_unwind(panic),
        });
        noted.flatten().collect()
    });
    builder.faults.extend(faults);
    schedule.into_nodes()
}

/// Checks entities until none is left.
fn work(builder: &mut Builder<'_>, schedule: &Schedule<'_>, entities: &[&Entity]) {
    while let Some(mut turn) = schedule.next() {
        let reads = schedule.graph.reads(turn.index).into_iter();
        let reads = reads.map(|read| entities[read].name().name.clone());
        turn.node = builder.node(entities[turn.index], reads.collect());
        if let Some(node) = &turn.node {
            (builder.listener)(node);
        }
    }
}

/// Who is next.
struct Schedule<'g> {
    graph: &'g Graph,
    order: Vec<usize>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    /// Per entity, how many of those it reads have not been checked yet.
    waiting: Vec<usize>,
    /// Entities that nothing keeps from being checked.
    ready: BTreeSet<usize>,
    /// How many have not been checked.
    left: usize,
    nodes: Vec<Option<Node>>,
}

/// An entity that one thread checks; whatever becomes of it, its readers follow when this is dropped.
struct Turn<'s> {
    schedule: &'s Schedule<'s>,
    index: usize,
    node: Option<Node>,
}

impl<'g> Schedule<'g> {
    fn new(graph: &'g Graph) -> Self {
        let order = graph.order();
        let count = order.iter().max().map_or(0, |last| last + 1);
        let mut waiting = vec![0; count];
        // What an entity in the order reads is in it too.
        for index in &order {
            waiting[*index] = graph.reads(*index).len();
        }
        let ready = order.iter().copied();
        let progress = Progress {
            ready: ready.filter(|index| waiting[*index] == 0).collect(),
            waiting,
            left: order.len(),
            nodes: std::iter::repeat_with(|| None).take(count).collect(),
        };
        Self {
            graph,
            order,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    /// Waits until an entity can be checked; `None` if all have been.
    fn next(&self) -> Option<Turn<'_>> {
        let mut progress = self.lock();
        loop {
            if progress.left == 0 {
                return None;
            }
            if let Some(index) = progress.ready.pop_first() {
                return Some(Turn {
                    schedule: self,
                    index,
                    node: None,
                });
            }
            progress = self
                .changed
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_nodes(self) -> Vec<Arc<Node>> {
        let progress = self.progress.into_inner();
        let mut nodes = progress.unwrap_or_else(PoisonError::into_inner).nodes;
        let taken = self.order.iter().filter_map(|index| nodes[*index].take());
        taken.map(Arc::new).collect()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut progress = self.schedule.lock();
        progress.nodes[self.index] = self.node.take();
        progress.left -= 1;
        for reader in self.schedule.graph.readers(self.index) {
            let Some(waiting) = progress
                .waiting
                .get_mut(reader)
                .filter(|waiting| **waiting > 0)
            else {
                continue;
            };
            *waiting -= 1;
            if *waiting == 0 {
                progress.ready.insert(reader);
            }
        }
        self.schedule.changed.notify_all();
    }
}
