//! What is known of the entities of a catalog while they are checked, on several threads: each adds what it has
//! bound, and reads what the entities under it have come to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::feed::Feed;
use super::node::LookupPlan;
use super::times::Lineage;
use crate::engine::Stored;

/// What is known of a bound relation that a query may read.
pub(super) enum Known {
    /// A relation with rows of its own.
    Kept(Stored),
    View(ViewInfo),
    Lookup(Arc<LookupPlan>),
}

/// A bound query with all it reads.
#[derive(Clone)]
pub(super) struct ViewInfo {
    pub feed: Feed,
    /// Why it is not linear, if it is not.
    pub linear: Result<(), String>,
    /// How its columns follow event time.
    pub lineage: Lineage,
    /// Whether it reads the relation of errors, itself or by a view.
    pub reads_errors: bool,
}

/// Columns of event time, with the lower bounds of what is still to come in them.
pub(super) type Times = Vec<(String, Vec<Value>)>;

/// What the threads have found so far. Names differ by more than their case.
#[derive(Default)]
pub(super) struct Findings {
    relations: RwLock<HashMap<String, Arc<Known>>>,
    times: RwLock<HashMap<String, Arc<Times>>>,
    /// What the engine said of the columns of each view.
    described: RwLock<HashMap<String, Vec<(String, String)>>>,
    /// Entities with faults; what reads them is not checked, it would only repeat them.
    broken: RwLock<HashSet<String>>,
    /// Entities with faults whose columns are known, and what reads them: it is checked, but not sound.
    faulty: RwLock<HashSet<String>>,
}

impl Findings {
    pub fn add(&self, name: &str, known: Known) {
        let mut relations = self
            .relations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        relations.insert(name.to_lowercase(), Arc::new(known));
    }

    pub fn get(&self, name: &str) -> Option<Arc<Known>> {
        let relations = self
            .relations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        relations.get(&name.to_lowercase()).cloned()
    }

    pub fn is_lookup(&self, name: &str) -> bool {
        matches!(self.get(name).as_deref(), Some(Known::Lookup(_)))
    }

    /// Notes name and type, in the engine's words, of each column of a view.
    pub fn add_described(&self, name: &str, columns: Vec<(String, String)>) {
        let mut all = self
            .described
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_lowercase(), columns);
    }

    /// Returns the columns of a view that is bound.
    pub fn described(&self, name: &str) -> Option<Vec<(String, String)>> {
        let all = self
            .described
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(&name.to_lowercase()).cloned()
    }

    /// Notes the columns of event time of a kept relation.
    pub fn add_times(&self, name: &str, times: Times) {
        let mut all = self.times.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_lowercase(), Arc::new(times));
    }

    /// Returns the columns of event time of a kept relation that has any.
    pub fn times(&self, name: &str) -> Option<Arc<Times>> {
        let all = self.times.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&name.to_lowercase()).cloned()
    }

    pub fn add_broken(&self, name: &str) {
        let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
        broken.insert(name.to_lowercase());
    }

    pub fn add_faulty(&self, name: &str) {
        let mut faulty = self.faulty.write().unwrap_or_else(PoisonError::into_inner);
        faulty.insert(name.to_lowercase());
    }

    pub fn is_faulty(&self, name: &str) -> bool {
        let faulty = self.faulty.read().unwrap_or_else(PoisonError::into_inner);
        faulty.contains(&name.to_lowercase())
    }

    pub fn is_broken(&self, name: &str) -> bool {
        let broken = self.broken.read().unwrap_or_else(PoisonError::into_inner);
        broken.contains(&name.to_lowercase())
    }
}
