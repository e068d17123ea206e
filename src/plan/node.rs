//! The plan of one entity: everything a node needs to run, validated.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::feed::Feed;
use crate::batch::{Column, Schema};
use crate::connector::{LookupConnector, SinkConnector, SourceConnector};
use crate::engine::Stored;
use crate::secret::Secrets;
use crate::sql::EntityKind;

/// A whole pipeline, in an order in which each entity comes after all it reads.
pub struct Plan {
    pub nodes: Vec<Arc<Node>>,
    pub secrets: Secrets,
}

impl Plan {
    /// Returns the node of that name, compared without regard to case.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes
            .iter()
            .find(|node| node.name.eq_ignore_ascii_case(name))
    }
}

impl Plan {
    /// Takes the nodes of another plan in the place of its own, except those that have changed, and the
    /// lookups of the other where the changed ones ask them.
    pub fn adopt(&mut self, other: &Self, changed: &HashSet<String>) {
        for node in &mut self.nodes {
            if let Some(old) = other
                .node(&node.name)
                .filter(|_| !changed.contains(&node.name))
            {
                *node = Arc::clone(old);
            }
        }
        self.adopt_lookups(other, changed);
    }

    /// Takes the lookups of another plan in the place of its own, except those that have changed.
    pub fn adopt_lookups(&mut self, other: &Self, changed: &HashSet<String>) {
        // A node that somebody else has too was adopted with its lookups.
        for node in self.nodes.iter_mut().filter_map(Arc::get_mut) {
            match &mut node.work {
                Work::Derived(plan) => plan.feed.adopt_lookups(other, changed),
                Work::Sink(plan) => {
                    if let Some(result) = &mut plan.result {
                        result.feed.adopt_lookups(other, changed);
                    }
                }
                _ => {}
            }
        }
    }
}

/// One entity.
pub struct Node {
    pub name: String,
    pub kind: EntityKind,
    /// The statement as written.
    pub definition: String,
    pub origin: Option<PathBuf>,
    /// The entities it reads, by name.
    pub reads: Vec<String>,
    /// Name and DuckDB type of each visible column; empty for sinks and secrets.
    pub columns: Vec<(String, String)>,
    pub work: Work,
}

impl Node {
    /// Returns the plan of the relation this entity keeps: its own, or the one behind a sink.
    pub fn derived(&self) -> Option<&DerivedPlan> {
        match &self.work {
            Work::Derived(plan) => Some(plan),
            Work::Sink(plan) => plan.result.as_ref(),
            _ => None,
        }
    }
}

pub enum Work {
    Source(SourcePlan),
    Lookup(Arc<LookupPlan>),
    /// A view that runs nowhere: its readers have its query inside theirs.
    View {
        query: String,
    },
    /// A relation that is kept up to date: a materialized view, or a view with lookups that is read.
    Derived(DerivedPlan),
    Sink(SinkPlan),
    Secret {
        backend: String,
    },
}

/// A TABLE or SOURCE.
pub struct SourcePlan {
    pub connector: Arc<dyn SourceConnector>,
    pub stored: Stored,
    pub ingest: Ingest,
    /// The columns of the primary key, in the order written.
    pub key: Option<Vec<String>>,
}

/// How the rows of a connector become the rows of the relation.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// A query over `arrow($1)` with the trigger in microseconds as `$2` that gives the visible columns in order.
    pub rows_sql: String,
    /// What the connector fills.
    pub columns: Vec<Column>,
    /// Columns that may not be NULL although the engine computes them.
    pub not_null: Vec<String>,
}

/// A lookup.
pub struct LookupPlan {
    pub name: String,
    pub connector: Arc<dyn LookupConnector>,
    pub params: Vec<Column>,
    pub columns: Vec<Column>,
    /// A query over `arrow($1)`, which has the params, then the columns, with the trigger in microseconds as `$2`; it
    /// gives params and columns, the generated ones computed, in the order of the declaration.
    pub answers_sql: String,
    /// Name and DuckDB type of each column the lookup has in a query: params first.
    pub visible: Vec<(String, String)>,
}

/// A kept relation with its query.
pub struct DerivedPlan {
    pub stored: Stored,
    pub feed: Feed,
    pub maintenance: Maintenance,
}

/// How a kept relation follows its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// The query runs over each new batch alone.
    Linear,
    /// The query runs over everything and the difference is applied; with the reason.
    Recompute { reason: String },
}

/// A sink.
pub struct SinkPlan {
    pub connector: Arc<dyn SinkConnector>,
    pub schema: Schema,
    /// Linear: what is not is kept by a hidden relation of its own, which this feed then reads.
    pub feed: Feed,
    /// That hidden relation.
    pub result: Option<DerivedPlan>,
    /// Whether rows that are there before the sink is are written too.
    pub snapshot: bool,
}
