//! A query that joins a lookup, itself or through a VIEW: the requests are sent now, for the rows that its
//! inputs have now.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::query::Ready;
use super::service::{Refusal, Script};
use crate::connector::Stop;
use crate::engine::{Session, Stored};
use crate::plan::{Feed, Node, Plan, Work, ad_hoc};
use crate::runtime::Asking;
use crate::sql::{EntityKind, SqlText, quote_ident};

/// What a statement has asked so far.
struct Asked {
    trigger: DateTime<Utc>,
    /// Requests by lookup, and how many errors it had before.
    requests: BTreeMap<String, (u64, u64)>,
    /// The views that have been evaluated, each now a temporary table.
    views: HashSet<String>,
}

impl Asked {
    /// Returns a query of what a relation has now.
    fn rows_of(&self, stored: &Stored) -> String {
        let table = if self.views.contains(&stored.name) {
            format!("temp.{}", quote_ident(&table_of(&stored.name)))
        } else {
            format!("main.{}", quote_ident(&stored.name))
        };
        format!("SELECT {} FROM {table}", stored.column_list())
    }

    fn sql(&self, feed: &Feed, query: &str) -> String {
        feed.with_inputs(query, &|stored| self.rows_of(stored))
    }
}

/// The table of a view's rows. Its name has a space, so that no user's name is hidden by it.
fn table_of(view: &str) -> String {
    format!("live {view}")
}

impl Script<'_> {
    /// Asks everything a query needs and returns the SQL that gives its result.
    pub fn live(
        &mut self,
        session: &Session,
        query: &SqlText,
        stop: &Stop,
    ) -> Result<Ready, Refusal> {
        let catalog = self.pipeline.checkable();
        let bound = ad_hoc(&catalog, &self.service.environment, query)?;
        let (mut plan, mut bound) = bound.map_err(Refusal::Faults)?;
        if let Some(runtime) = &self.service.runtime {
            // Rate limits and caches are the running pipeline's.
            let running = runtime.plan();
            plan.adopt_lookups(&running, &HashSet::new());
            bound.feed.adopt_lookups(&running, &HashSet::new());
        }
        let views = views_under(&plan, &bound.feed);
        self.check_secrets(views.iter().map(|(_, feed)| *feed).chain([&bound.feed]))?;
        let mut asked = Asked {
            trigger: self.service.shared.now(),
            requests: BTreeMap::new(),
            views: HashSet::new(),
        };
        for (node, feed) in views {
            self.ask(session, feed, &mut asked, stop)?;
            let (table, rows) = (
                quote_ident(&table_of(&node.name)),
                asked.sql(feed, &feed.query),
            );
            session.execute_batch(&format!("CREATE OR REPLACE TEMP TABLE {table} AS {rows}"))?;
            asked.views.insert(node.name.clone());
        }
        self.ask(session, &bound.feed, &mut asked, stop)?;
        self.tell(&asked)?;
        Ok(Ready {
            sql: asked.sql(&bound.feed, &bound.feed.query),
            offset: None,
        })
    }

    /// Refuses what would send a placeholder in a secret's place.
    fn check_secrets<'f>(&self, feeds: impl Iterator<Item = &'f Feed>) -> Result<(), Refusal> {
        for step in feeds.flat_map(|feed| &feed.lookups) {
            let lookup = self.pipeline.catalog.get(&step.lookup.name);
            let mut secrets = lookup.into_iter().flat_map(|entity| entity.secrets());
            let unknown = &self.pipeline.catalog.unknown;
            if let Some(secret) = secrets.find(|name| unknown.contains(&name.key())) {
                let error = anyhow::anyhow!(
                    "lookup `{}` needs secret `{}`, which comes from a file and is not kept in the state; \
                     ask while the pipeline runs",
                    step.lookup.name,
                    secret.name
                );
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn ask(
        &self,
        session: &Session,
        feed: &Feed,
        asked: &mut Asked,
        stop: &Stop,
    ) -> Result<(), Refusal> {
        let shared = &self.service.shared;
        for step in &feed.lookups {
            let name = &step.lookup.name;
            let sql = asked.sql(feed, &step.params_sql);
            let count = session.number(&format!("SELECT count(*) FROM ({sql})"), &[])?;
            let count = u64::try_from(count.unwrap_or(0)).unwrap_or(u64::MAX);
            let before: u64 = asked.requests.values().map(|(requests, _)| requests).sum();
            let bound = self.settings.lookup_requests_max;
            if before + count > bound {
                let error = anyhow::anyhow!(
                    "this would ask `{name}` {count} times, more than lookup_requests_max ({bound}) allows; \
                     ask for fewer rows, or SET lookup_requests_max = {}",
                    before + count
                );
                return Err(error.into());
            }
            let errors = shared.board.status(name).errors.load(Ordering::Relaxed);
            asked.requests.entry(name.clone()).or_insert((0, errors)).0 += count;
            let params = session.query(&sql, &[])?;
            let asking = Asking {
                shared,
                context: &shared.context(name, stop),
                lookup: &step.lookup,
                trigger: asked.trigger,
            };
            asking.answer(session, &params, &step.answers, None)?;
        }
        Ok(())
    }

    /// Says what was asked, and what of it failed: such rows have no answer.
    fn tell(&mut self, asked: &Asked) -> Result<(), Refusal> {
        for (name, (requests, errors)) in &asked.requests {
            let status = self.service.shared.board.status(name);
            let failed = status
                .errors
                .load(Ordering::Relaxed)
                .saturating_sub(*errors);
            let word = if *requests == 1 {
                "request"
            } else {
                "requests"
            };
            let mut text = format!("{requests} {word} to `{name}`");
            if failed > 0 {
                text.push_str(&format!(", {failed} failed: see omlsp_errors"));
            }
            self.message(text)?;
        }
        Ok(())
    }
}

/// Returns the views with lookups that a feed reads, directly or through others, each after those it reads.
fn views_under<'p>(plan: &'p Plan, feed: &Feed) -> Vec<(&'p Node, &'p Feed)> {
    let mut open: Vec<&str> = feed
        .inputs
        .iter()
        .map(|input| input.stored.name.as_str())
        .collect();
    let mut names = HashSet::new();
    while let Some(name) = open.pop() {
        if let Some((_, feed)) = plan.node(name).and_then(|node| live_view(node))
            && names.insert(name)
        {
            open.extend(feed.inputs.iter().map(|input| input.stored.name.as_str()));
        }
    }
    let nodes = plan
        .nodes
        .iter()
        .filter(|node| names.contains(node.name.as_str()));
    nodes.filter_map(|node| live_view(node)).collect()
}

fn live_view(node: &Node) -> Option<(&Node, &Feed)> {
    match &node.work {
        Work::Derived(plan) if node.kind == EntityKind::View => Some((node, &plan.feed)),
        _ => None,
    }
}
