//! A query together with the streams it reads, ready to run over all of them or over what is new.

use std::collections::HashSet;
use std::sync::Arc;

use super::node::{LookupPlan, Plan, Work};
use crate::engine::Stored;
use crate::sql::{SqlText, quote_ident};

/// A query with the views it reads inside it.
#[derive(Clone)]
pub struct Feed {
    /// The streams at the bottom, each once.
    pub inputs: Vec<Input>,
    /// The views between them and the query, each after those it reads: name and query.
    pub views: Vec<(String, String)>,
    /// The query as written, or with its lookups replaced by tables of answers.
    pub query: String,
    /// What to ask before the query runs, in order.
    pub lookups: Vec<LookupStep>,
}

/// A stream that a feed reads.
#[derive(Clone, Debug)]
pub struct Input {
    pub stored: Stored,
}

/// One mention of a lookup in a query.
#[derive(Clone)]
pub struct LookupStep {
    pub lookup: Arc<LookupPlan>,
    /// Gives the distinct tuples of params to ask for, a column per param in order of declaration.
    pub params_sql: String,
    /// The temporary table that the rewritten query reads the answers from.
    pub answers: String,
}

impl Feed {
    /// Makes the feed of a query that reads nothing yet.
    pub fn of(query: &SqlText) -> Self {
        Self {
            inputs: Vec::new(),
            views: Vec::new(),
            query: query.text.clone(),
            lookups: Vec::new(),
        }
    }

    /// Returns SQL text that runs `query` with every input read through `base`.
    ///
    /// Inputs and views become CTEs, so that the text of the queries stays as the user wrote it.
    pub fn with_inputs(&self, query: &str, base: &dyn Fn(&Stored) -> String) -> String {
        let inputs =
            (self.inputs.iter()).map(|input| (input.stored.name.as_str(), base(&input.stored)));
        let views = (self.views.iter()).map(|(name, query)| (name.as_str(), query.clone()));
        let ctes: Vec<String> = inputs
            .chain(views)
            .map(|(name, text)| format!("{} AS NOT MATERIALIZED ({text}\n)", quote_ident(name)))
            .collect();
        if ctes.is_empty() {
            return format!("SELECT * FROM ({query}\n)");
        }
        format!("WITH {} SELECT * FROM ({query}\n)", ctes.join(", "))
    }

    /// Takes the lookups of another plan in the place of its own, except those that have changed: what a
    /// lookup counts and caches is kept where it is.
    pub fn adopt_lookups(&mut self, plan: &Plan, changed: &HashSet<String>) {
        for step in &mut self.lookups {
            let node = plan.node(&step.lookup.name);
            if let Some(Work::Lookup(lookup)) = node.map(|node| &node.work)
                && !changed.contains(&step.lookup.name)
            {
                step.lookup = Arc::clone(lookup);
            }
        }
    }

    /// Returns the query over everything its inputs hold.
    pub fn all_sql(&self) -> String {
        self.with_inputs(&self.query, &|stored| stored.all_sql())
    }
}
