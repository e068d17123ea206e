//! How a query that is not linear follows its inputs at a cost that follows the change: taken apart into
//! stages, each with its state.
//!
//! Called for every kept relation; a query that cannot be taken apart exactly gets the reason why not, and
//! is recomputed and compared instead.

// What a program is.
mod program;

// From the tree of a query to a program.
mod tree;
mod inline;
mod keys;
mod restrict;
mod block;
mod slots;
mod aggregate;
mod distinct;
mod decompose;
mod exact;
mod ranked;
mod rereads;

pub use inline::{Views, calls_volatile, inline, volatile_call};
pub use program::{
    Accumulator, Aggregate, Block, Mention, Partition, Program, Relation, Stage, TOUCHED, Top,
    Touch,
};
pub use tree::list;

use serde_json::Value;

use super::bind::Binder;
use super::feed::Feed;
use crate::engine::shape::Reason;
use crate::engine::{Layout, functions};

/// Takes a query apart; `tree` has its views and CTEs inlined, and `columns` are what it gives.
///
/// # Errors
/// Why it cannot be maintained by its changes alone.
pub fn program(
    binder: &Binder,
    owner: &str,
    feed: &Feed,
    (tree, columns): (&Value, &[(String, String)]),
) -> Result<Program, Reason> {
    if let Some(name) = calls_volatile(tree, &|name| functions::is_volatile(name)) {
        return Err(format!("it calls `{name}`, whose value changes"));
    }
    exact::refuse_inexact(tree)?;
    let tree = &exact::with_explicit_joins(tree);
    let inputs = (feed.inputs.iter()).map(|input| {
        let relation = Relation {
            columns: input.stored.columns.clone(),
            append_only: input.stored.layout != Layout::Changing,
        };
        (input.stored.name.clone(), relation)
    });
    let mut decomposer = decompose::Decomposer::new(binder, owner, inputs.collect());
    let program = decomposer.program(tree, columns);
    decomposer.clear();
    program
}
