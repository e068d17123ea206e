//! Views and materialized views: a bound query put together with the streams under it, and the way its
//! result is kept.
//!
//! Called by the builder for views, and by the sinks for the relation behind them.

use std::sync::Arc;

use serde_json::Value;

use super::bind::{first_word, read_place};
use super::build::Builder;
use super::columns::is_usual;
use super::feed::{Feed, Input};
use super::known::{Known, ViewInfo};
use super::lookup;
use super::maintain::{self, Views, calls_volatile, inline};
use super::node::{DerivedPlan, Maintenance, Work};
use crate::catalog::ERRORS;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::syntax::{Query, Read};
use crate::engine::{Layout, Stored, functions, shape};
use crate::sql::{EntityKind, Ident, SqlText, quote_ident};

impl Builder<'_> {
    pub(super) fn view(
        &mut self,
        name: &Ident,
        query: &SqlText,
    ) -> Option<(Vec<(String, String)>, Work)> {
        let columns = self.add_query(name, query)?;
        let info = self.feed(name, query)?;
        if info.feed.lookups.is_empty() {
            self.found.add(&name.name, Known::View(info));
            return Some((
                columns,
                Work::View {
                    query: query.text.clone(),
                },
            ));
        }
        let stored = Stored {
            name: name.name.clone(),
            columns: columns.clone(),
            layout: Layout::Passing,
            visible: true,
        };
        let lineage = info.lineage.clone();
        let maintenance = self.maintenance((name, &name.name), &info, &columns);
        let plan = self.derived((name, query), info, stored, maintenance)?;
        self.keep_times(name, &lineage);
        self.keep(name, plan.stored.clone());
        Some((columns, Work::Derived(plan)))
    }

    pub(super) fn materialized(
        &mut self,
        name: &Ident,
        query: &SqlText,
        emit_on_window_close: Option<Span>,
    ) -> Option<(Vec<(String, String)>, Work)> {
        let columns = self.add_query(name, query)?;
        let mut info = self.feed(name, query)?;
        self.check_errors(name, EntityKind::MaterializedView, &info)?;
        let maintenance = self.maintenance((name, &name.name), &info, &columns);
        let mut stored = Stored {
            name: name.name.clone(),
            columns: columns.clone(),
            layout: kept_layout(&info, &maintenance),
            visible: true,
        };
        let lineage = info.lineage.clone();
        let joined = match info.linear {
            Err(_) if emit_on_window_close.is_none() => self.interval_join(name, &info),
            _ => None,
        };
        let plan = match (emit_on_window_close, joined) {
            (None, Some(horizon)) => {
                stored.layout = Layout::Append;
                DerivedPlan {
                    stored,
                    feed: info.feed,
                    maintenance: Maintenance::IntervalJoin(horizon),
                }
            }
            (None, None) => self.derived((name, query), info, stored, maintenance)?,
            (Some(emit), _) => {
                let closing = self.closing(name, &mut info, emit)?;
                stored.layout = Layout::Append;
                DerivedPlan {
                    stored,
                    feed: info.feed,
                    maintenance: Maintenance::WindowClose(closing),
                }
            }
        };
        if !matches!(plan.maintenance, Maintenance::IntervalJoin(_))
            && plan.stored.layout == Layout::Append
        {
            self.keep_times(name, &lineage);
        }
        self.keep(name, plan.stored.clone());
        Some((columns, Work::Derived(plan)))
    }

    /// Returns the columns of a query, and binds it under its name if some query reads it by that.
    fn add_query(&mut self, name: &Ident, query: &SqlText) -> Option<Vec<(String, String)>> {
        let described = self.binder.describe(self.catalog, query);
        let bound = described.and_then(|columns| {
            if let Some(fault) = self.binder.own_column(query, &columns) {
                return Err(Box::new(fault));
            }
            // The schema of other types is that of a query.
            let named = self.read_by_name.contains(&name.name)
                || !columns.iter().all(|(_, sql_type)| is_usual(sql_type));
            if named {
                (self.binder).add_query(self.catalog, &name.name, (query, &columns))?;
            }
            Ok(columns)
        });
        match bound {
            Ok(columns) => {
                self.found.add_described(&name.name, columns.clone());
                Some(columns)
            }
            Err(fault) => {
                self.faults.push(*fault);
                None
            }
        }
    }

    pub(super) fn derived(
        &mut self,
        (name, query): (&Ident, &SqlText),
        info: ViewInfo,
        stored: Stored,
        maintenance: Maintenance,
    ) -> Option<DerivedPlan> {
        let asks = !info.feed.lookups.is_empty();
        if let (true, Maintenance::Recompute { reason }) = (asks, &maintenance) {
            let message = format!("a lookup join is asked once per arriving row, but {reason}");
            let fault = Diagnostic::new(first_word(query), message)
                .help("put the lookup join alone into a VIEW and read that");
            self.faults.push(fault);
            return None;
        }
        let changing = info
            .feed
            .inputs
            .iter()
            .find(|input| input.stored.layout == Layout::Changing);
        if let (true, Some(input)) = (asks, changing) {
            let message = format!(
                "a lookup join over `{}`, whose rows change, is not built yet",
                input.stored.name
            );
            let fault = Diagnostic::new(name.span, message)
                .help("join a TABLE or SOURCE without a key instead");
            self.faults.push(fault);
            return None;
        }
        Some(DerivedPlan {
            stored,
            feed: info.feed,
            maintenance,
        })
    }

    /// Puts a bound query together with the views and streams under it.
    pub(super) fn feed(&mut self, name: &Ident, query: &SqlText) -> Option<ViewInfo> {
        let (_, parsed) = self.queries.get(&name.key())?;
        let mut feed = Feed::of(query);
        let mut linear = Ok(());
        let mut asks = false;
        for read in &parsed.reads {
            match self.found.get(&read.name).as_deref() {
                Some(Known::Kept(stored)) => add_input(&mut feed, stored),
                Some(Known::View(view)) => {
                    self.add_view(&mut feed, &read.name, view);
                    if let (Ok(()), Err(reason)) = (&linear, &view.linear) {
                        linear = Err(format!("of view `{}`: {reason}", read.name));
                    }
                }
                Some(Known::Lookup(_)) => asks = true,
                None => linear = Err(format!("it reads `{}`", read.name)),
            }
        }
        let mut reads = parsed.reads.iter();
        let reads_errors = reads.any(|read| self.leads_to_errors(read));
        let tree = parsed.tree.clone();
        if linear.is_ok() {
            linear = self.linear(tree.as_ref());
        }
        if asks {
            self.ask(name, query, tree.as_ref(), &mut feed)?;
        }
        let lineage = tree.map(|tree| self.lineage(&tree)).unwrap_or_default();
        Some(ViewInfo {
            feed,
            linear,
            lineage,
            reads_errors,
        })
    }

    fn leads_to_errors(&self, read: &Read) -> bool {
        let known = self.found.get(&read.name);
        let by_view = matches!(known.as_deref(), Some(Known::View(view)) if view.reads_errors);
        by_view || read.name.eq_ignore_ascii_case(ERRORS)
    }

    /// Refuses the relation of errors under what follows its inputs: a line in it moves nothing.
    pub(super) fn check_errors(
        &mut self,
        name: &Ident,
        kind: EntityKind,
        info: &ViewInfo,
    ) -> Option<()> {
        if !info.reads_errors {
            return Some(());
        }
        let (query, parsed) = self.queries.get(&name.key())?;
        let read = (parsed.reads.iter()).find(|read| self.leads_to_errors(read))?;
        let subject = match self.catalog.get(&read.name) {
            Some(view) => format!("`{}` reads `{ERRORS}`, which", view.name().name),
            None => format!("`{ERRORS}`"),
        };
        let message = format!("{subject} cannot be followed by a {}", kind.words());
        let fault = Diagnostic::new(read_place(query, read), message)
            .help("ask for it with `omlsp sql`, or alert on `omlsp_errors_total` of `/metrics`");
        self.faults.push(fault);
        None
    }

    /// Adds a view and what is under it.
    fn add_view(&self, feed: &mut Feed, name: &str, view: &ViewInfo) {
        for input in &view.feed.inputs {
            add_input(feed, &input.stored);
        }
        let inner = view.feed.views.iter().cloned();
        let entity = self.catalog.get(name);
        let name = entity.map_or(name, |entity| &entity.name().name);
        for (name, text) in inner.chain([(name.to_owned(), view.feed.query.clone())]) {
            if !feed.views.iter().any(|(other, _)| *other == name) {
                feed.views.push((name, text));
            }
        }
    }

    /// Returns the way in which a relation of this query, kept under the name `owner`, follows its inputs.
    pub(super) fn maintenance(
        &self,
        (name, owner): (&Ident, &str),
        info: &ViewInfo,
        columns: &[(String, String)],
    ) -> Maintenance {
        let asks = !info.feed.lookups.is_empty();
        if let (true, Err(reason)) = (asks, &info.linear) {
            let reason = reason.clone();
            return Maintenance::Recompute { reason };
        }
        let tree = match self.inlined(name, &info.feed) {
            Ok(tree) => tree,
            Err(_) if info.linear.is_ok() => return Maintenance::Linear,
            Err(reason) => return Maintenance::Recompute { reason },
        };
        if info.linear.is_ok() {
            // What went cannot be found again by a value that has changed since.
            let volatile = calls_volatile(&tree, &|name| functions::is_volatile(name));
            return match volatile.filter(|_| reads_changing(info)) {
                Some(name) => Maintenance::Recompute {
                    reason: format!("it calls `{name}`, whose value changes"),
                },
                None => Maintenance::Linear,
            };
        }
        match maintain::program(self.binder, owner, &info.feed, (&tree, columns)) {
            Ok(program) => Maintenance::Incremental(Box::new(program)),
            Err(reason) => Maintenance::Recompute { reason },
        }
    }

    /// Returns the tree of a query with the views and CTEs it reads inside it.
    fn inlined(&self, name: &Ident, feed: &Feed) -> Result<Value, String> {
        let views = self.views_under(feed)?;
        inline(self.tree_of(&name.key())?, &views)
    }

    /// Returns the trees of the views under a query, those they read inside them.
    fn views_under(&self, feed: &Feed) -> Result<Views, String> {
        let mut views = Views::new();
        for (view, _) in &feed.views {
            let key = view.to_lowercase();
            let tree = inline(self.tree_of(&key)?, &views)?;
            views.insert(key, tree);
        }
        Ok(views)
    }

    fn tree_of(&self, key: &str) -> Result<&Value, String> {
        let query = self.queries.get(key);
        let tree = query.and_then(|(_, query)| query.tree.as_ref());
        tree.ok_or_else(|| "it is not a plain SELECT".to_owned())
    }

    fn linear(&self, tree: Option<&Value>) -> Result<(), String> {
        let Some(tree) = tree else {
            return Err("it is not a plain SELECT".to_owned());
        };
        shape::linear(
            tree,
            functions::aggregates(),
            &|name| match self.found.get(name).as_deref() {
                Some(Known::Kept(_)) => true,
                Some(Known::View(view)) => !view.feed.inputs.is_empty(),
                _ => false,
            },
        )
    }

    /// Refuses what nobody could ask the lookups of a query for.
    pub(super) fn check_asked(&mut self, query: &SqlText, parsed: &Query) {
        let mut reads = parsed.reads.iter();
        if reads.any(|read| self.found.is_lookup(&read.name)) {
            let name = Ident {
                name: "the query".to_owned(),
                span: query.span,
            };
            let mut feed = Feed::of(query);
            for read in &parsed.reads {
                if let Some(Known::View(view)) = self.found.get(&read.name).as_deref() {
                    self.add_view(&mut feed, &read.name, view);
                }
            }
            self.ask(&name, query, parsed.tree.as_ref(), &mut feed);
        }
    }

    fn ask(
        &mut self,
        name: &Ident,
        query: &SqlText,
        tree: Option<&Value>,
        feed: &mut Feed,
    ) -> Option<()> {
        let Some(tree) = tree else {
            let message = "a lookup can only be joined in a SELECT";
            self.faults
                .push(Diagnostic::new(first_word(query), message));
            return None;
        };
        let find = |lookup: &str| match self.found.get(lookup).as_deref() {
            Some(Known::Lookup(plan)) => {
                let entity = self.catalog.get(lookup)?;
                Some((Arc::clone(plan), entity.name().clone()))
            }
            _ => None,
        };
        let prefix = format!("_answers_{}", name.key());
        // One that is no plain SELECT makes the query be recomputed, and a lookup join is not.
        let views = self.views_under(feed).unwrap_or_default();
        let with = lookup::With {
            binder: self.binder,
            prefix: &prefix,
            find: &find,
            views: &views,
        };
        match lookup::rewrite(&with, query, tree) {
            Ok(rewritten) => {
                feed.query = rewritten.query;
                feed.lookups = rewritten.steps;
                Some(())
            }
            Err(faults) => {
                self.faults.extend(faults);
                None
            }
        }
    }
}

/// Returns the layout of a relation kept from this query in this way.
pub(super) fn kept_layout(info: &ViewInfo, maintenance: &Maintenance) -> Layout {
    let grows = match maintenance {
        Maintenance::Linear => !reads_changing(info),
        Maintenance::Incremental(program) => program.is_append_only(),
        Maintenance::WindowClose(_) | Maintenance::IntervalJoin(_) => true,
        Maintenance::Recompute { .. } => false,
    };
    if grows {
        Layout::Append
    } else {
        Layout::Changing
    }
}

fn reads_changing(info: &ViewInfo) -> bool {
    let mut inputs = info.feed.inputs.iter();
    inputs.any(|input| input.stored.layout == Layout::Changing)
}

fn add_input(feed: &mut Feed, stored: &Stored) {
    if !feed
        .inputs
        .iter()
        .any(|input| input.stored.name == stored.name)
    {
        feed.inputs.push(Input {
            stored: stored.clone(),
        });
    }
}

/// Returns the feed that reads one relation as it is.
pub(super) fn feed_of(stored: Stored) -> Feed {
    Feed {
        query: format!("SELECT * FROM {}", quote_ident(&stored.name)),
        inputs: vec![Input { stored }],
        views: Vec::new(),
        lookups: Vec::new(),
    }
}
