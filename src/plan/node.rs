//! The plan of one entity: everything a node needs to run, validated.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::feed::Feed;
use super::maintain::Program;
use crate::batch::{Column, Schema};
use crate::connector::{LookupConnector, SinkConnector, SourceConnector};
use crate::engine::{Layout, Stored};
use crate::secret::Secrets;
use crate::sql::EntityKind;

/// Returns what takes the place of a sink's connector, by its name and plan; `None` leaves it.
pub type OtherSink<'f> = dyn Fn(&str, &SinkPlan) -> Option<Arc<dyn SinkConnector>> + 'f;

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
    /// Says whether the engine evaluates queries over more than the rows that come, which several threads share well.
    pub fn has_large_statements(&self) -> bool {
        let mut derived = self.nodes.iter().filter_map(|node| node.derived());
        derived.any(|plan| !matches!(plan.maintenance, Maintenance::Linear))
    }

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

    /// Puts other connectors in the place of those of sinks for which there is another. Only for a plan that
    /// nobody else holds a part of.
    pub fn replace_sinks(&mut self, other: &OtherSink<'_>) {
        for node in self.nodes.iter_mut().filter_map(Arc::get_mut) {
            if let Work::Sink(plan) = &mut node.work
                && let Some(connector) = other(&node.name, plan)
            {
                plan.connector = connector;
            }
        }
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
    /// How options are carried out, for people.
    pub notes: Vec<String>,
}

impl SourcePlan {
    /// Returns after what time without rows its watermark holds nothing back any more.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.ingest.watermark.as_ref()?.idle_timeout
    }
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
    pub watermark: Option<Watermark>,
}

/// How far event time has come in a relation, and which rows are late.
#[derive(Clone, Debug)]
pub struct Watermark {
    /// The column of event time.
    pub column: String,
    /// The expression over a row of which the watermark is the largest value, a TIMESTAMP.
    pub expression: String,
    /// After so long without rows the relation holds no window open that has other inputs.
    pub idle_timeout: Option<Duration>,
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
    /// How options are carried out, for people.
    pub notes: Vec<String>,
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
    /// The query runs over the rows of the windows that the watermark closes, once each.
    WindowClose(Closing),
    /// New rows of either input meet those of the other that the watermark still lets them meet.
    IntervalJoin(Horizon),
    /// Stages with states of their own follow what comes and goes.
    Incremental(Box<Program>),
    /// The query runs over everything and the difference is applied; with the reason.
    Recompute { reason: String },
}

impl Maintenance {
    /// Says whether rows that came long ago are read again, of the input of that place.
    pub fn rereads(&self, input: usize) -> bool {
        match self {
            Self::Linear => false,
            Self::Incremental(program) => program.rereads[input],
            // The first two until they have looked which rows they need.
            Self::WindowClose(_) | Self::IntervalJoin(_) | Self::Recompute { .. } => true,
        }
    }

    /// Says in a few words how a relation follows its inputs.
    pub fn words(&self) -> String {
        match self {
            Self::Linear => "maintained from each new batch alone".to_owned(),
            Self::WindowClose(_) => {
                "gives each window once, when the watermark passes its end".to_owned()
            }
            Self::IntervalJoin(_) => {
                "joined from each new batch and the rows of the other side that the watermark keeps"
                    .to_owned()
            }
            Self::Incremental(program) => {
                let words = program.words();
                let colon = if words.is_empty() { "" } else { ": " };
                format!("maintained by what changes{colon}{words}")
            }
            Self::Recompute { reason } => {
                format!("recomputed and compared after each batch, because {reason}")
            }
        }
    }
}

/// How the windows of a view close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The columns of the feed's query by which a row's window is known. The window is closed once one of them is
    /// below its floor.
    pub columns: Vec<String>,
    pub horizon: Horizon,
}

/// What the watermark says of the rows of a view's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Gives, for the watermark in microseconds as `$1`, the floor of each column that closes, then for each input
    /// of the feed the time before which its rows are no longer needed; all in microseconds, as VARCHAR.
    pub bounds_sql: String,
    /// How many floors there are.
    pub floors: usize,
    /// The columns of event time of the inputs, in their order.
    pub times: Vec<String>,
    /// Queries for the earliest start of an open session, run over all rows that are kept, with the watermark as
    /// the parameter after the ranges of the inputs: the number of the input, and the query.
    pub sessions: Vec<(usize, String)>,
}

impl SinkPlan {
    /// Says whether rows also go away.
    pub fn is_changing(&self) -> bool {
        let mut inputs = self.feed.inputs.iter();
        inputs.any(|input| input.stored.layout == Layout::Changing)
    }
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
