//! The entities of which the state knows nothing yet, so that their first start need not ask it: each question
//! takes the engine a millisecond, and a start asks several for every entity.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::{Node, Work};

/// The names of sources and consumers that were just created.
#[derive(Default)]
pub struct Newcomers(Mutex<HashSet<String>>);

impl Newcomers {
    /// Notes entities whose tables and records have just been made. A sink without a snapshot is none: it has a
    /// position from the beginning.
    pub fn note(&self, nodes: &[Arc<Node>]) {
        let mut names = self.names();
        for node in nodes {
            let own = matches!(node.work, Work::Source(_) | Work::Sink(_)).then_some(&node.name);
            let derived = node.derived().map(|plan| &plan.stored.name);
            let has_position = matches!(&node.work, Work::Sink(plan) if !plan.snapshot);
            for name in own.into_iter().chain(derived) {
                match has_position {
                    // Another one of this name may have gone before it was started.
                    true => names.remove(name),
                    false => names.insert(name.clone()),
                };
            }
        }
    }

    /// Says whether a source or consumer is one, which it is no more from then on.
    pub fn take(&self, name: &str) -> bool {
        self.names().remove(name)
    }

    /// Nothing can be left half done under this lock.
    fn names(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
