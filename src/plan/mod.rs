//! From a catalog to nodes ready to run: every name and type bound by the real engine, every option
//! checked, and for each view the way it is maintained.
//!
//! A [`Plan`] exists only if nothing is wrong; otherwise there are diagnostics, all at once. Needs no
//! network, no broker and no state.

// What the plan of each entity is.
mod feed;
mod node;

// How it is made, in order.
mod bind;
mod known;
mod build;
mod schedule;
mod connect;
mod casts;
mod trigger;
mod columns;
mod relation;
mod derived;
mod maintain;
mod conditions;
mod lookup;
mod lengths;
mod marks;
mod times;
mod closing;
mod joining;
mod sink;
mod commands;

// A query asked once.
mod adhoc;

// What it says of itself.
mod explain;

pub use adhoc::{AdHoc, ad_hoc};
pub use bind::{Binder, place_in, query_fault};
pub use build::{Checked, Listener, check, check_with};
pub use explain::{GraphFormat, explain_entity, render_graph};
pub use feed::{Feed, Input, LookupStep};
pub use maintain::{
    Accumulator, Aggregate, Block, Mention, Partition, Program, Relation, Stage, TOUCHED, Top,
    Touch,
};
pub use node::{
    Closing, DerivedPlan, Horizon, Ingest, LookupPlan, Maintenance, Node, Plan, SinkPlan,
    SourcePlan, Watermark, Work,
};
