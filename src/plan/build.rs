//! Builds the plan of a catalog, entity by entity in the order of their dependencies, collecting all
//! faults.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::bind::Binder;
use super::columns::Types;
use super::connect::{Settings, connector_of};
use super::feed::{Feed, Input};
use super::node::{DerivedPlan, LookupPlan, Maintenance, Node, Plan, SinkPlan, Work};
use super::{lookup, relation};
use crate::batch::Schema;
use crate::catalog::{Catalog, ERRORS, Entity, Graph, cycle_faults, resolve_secrets};
use crate::connector::Changes;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::syntax::{Query, Read};
use crate::engine::{Layout, Stored, shape};
use crate::options::Environment;
use crate::sql::{
    Definition, EntityKind, Ident, OptionList, OptionValueKind, SinkInput, SqlText, StatementKind,
    quote_ident,
};

/// What checking a catalog came to: a plan, or faults.
pub struct Checked {
    pub plan: Option<Plan>,
    pub faults: Vec<Diagnostic>,
    /// The dependencies, also where there are faults.
    pub graph: Graph,
}

/// Checks a whole catalog. `faults` are those of parsing it; they are part of the answer.
///
/// # Errors
/// Only if the engine cannot be opened; what is wrong with the pipeline is in the answer.
pub fn check(
    catalog: &Catalog,
    environment: &Environment,
    mut faults: Vec<Diagnostic>,
) -> anyhow::Result<Checked> {
    let binder = Binder::new()?;
    let secrets = resolve_secrets(catalog, environment, &mut faults);
    let settings = Settings {
        environment,
        secrets: &secrets,
    };
    let mut builder = Builder {
        catalog,
        binder: &binder,
        settings,
        types: Types::default(),
        queries: HashMap::new(),
        known: HashMap::new(),
        broken: HashSet::new(),
        faults,
    };
    let reads = builder.parse_queries()?;
    let graph = Graph::new(catalog, &reads);
    builder.faults.extend(cycle_faults(catalog, &graph));
    let entities: Vec<&Entity> = catalog.entities().collect();
    let mut nodes = Vec::new();
    for index in graph.order() {
        let entity = entities[index];
        let names = graph.reads(index);
        if names
            .iter()
            .any(|read| builder.broken.contains(&entities[*read].name().key()))
        {
            builder.broken.insert(entity.name().key());
            continue;
        }
        let before = builder.faults.len();
        let node = builder.entity(entity);
        match node {
            Some((columns, work)) if builder.faults.len() == before => nodes.push(Arc::new(Node {
                name: entity.name().name.clone(),
                kind: entity.kind(),
                definition: entity.text.clone(),
                origin: entity.origin.clone(),
                reads: names
                    .iter()
                    .map(|read| entities[*read].name().name.clone())
                    .collect(),
                columns,
                work,
            })),
            _ => {
                builder.broken.insert(entity.name().key());
            }
        }
    }
    builder.commands();
    let mut faults = builder.faults;
    faults.sort_by_key(|fault| fault.span);
    let plan = faults.is_empty().then_some(Plan { nodes, secrets });
    Ok(Checked {
        plan,
        faults,
        graph,
    })
}

/// What is known of a bound relation that a query may read.
enum Known {
    /// A relation with rows of its own.
    Kept(Stored),
    View(ViewInfo),
    Lookup(Arc<LookupPlan>),
}

#[derive(Clone)]
struct ViewInfo {
    feed: Feed,
    linear: Result<(), String>,
}

struct Builder<'a> {
    catalog: &'a Catalog,
    binder: &'a Binder,
    settings: Settings<'a>,
    types: Types,
    /// The parsed query of each entity that has one, by key.
    queries: HashMap<String, (SqlText, Query)>,
    known: HashMap<String, Known>,
    /// Entities with faults; what reads them is not checked, it would only repeat them.
    broken: HashSet<String>,
    faults: Vec<Diagnostic>,
}

impl Builder<'_> {
    /// Parses all queries at once and returns what each entity reads.
    fn parse_queries(&mut self) -> anyhow::Result<Vec<Vec<(String, Span)>>> {
        let owners: Vec<(String, SqlText)> = (self.catalog.entities())
            .filter_map(|entity| Some((entity.name().key(), query_of(entity, &self.settings)?)))
            .collect();
        let texts: Vec<&SqlText> = owners.iter().map(|(_, query)| query).collect();
        let parsed = self.binder.parse(self.catalog, &texts)?;
        for ((key, text), parsed) in owners.into_iter().zip(parsed) {
            match parsed {
                Ok(query) => {
                    if self.check_reads(&text, &query.reads) {
                        self.queries.insert(key, (text, query));
                    } else {
                        self.broken.insert(key);
                    }
                }
                Err(fault) => {
                    self.faults.push(fault);
                    self.broken.insert(key);
                }
            }
        }
        Ok(self
            .catalog
            .entities()
            .map(|entity| self.reads_of(entity))
            .collect())
    }

    fn reads_of(&self, entity: &Entity) -> Vec<(String, Span)> {
        let mut reads: Vec<(String, Span)> = Vec::new();
        if let Some((text, query)) = self.queries.get(&entity.name().key()) {
            for read in &query.reads {
                reads.push((read.name.clone(), read_span(text, read)));
            }
        }
        if let Definition::Sink {
            input: SinkInput::Relation(name),
            ..
        } = &entity.create.definition
        {
            reads.push((name.name.clone(), name.span));
        }
        reads
    }

    /// Says whether every relation that a query names is one it may read.
    fn check_reads(&mut self, text: &SqlText, reads: &[Read]) -> bool {
        let before = self.faults.len();
        for read in reads {
            let span = read_span(text, read);
            if read.qualified {
                let message = format!("`{}` is named with a schema", read.name);
                self.faults.push(
                    Diagnostic::new(span, message).help("entities of a pipeline are named alone"),
                );
            } else {
                self.check_readable(&read.name, span);
            }
        }
        self.faults.len() == before
    }

    fn check_readable(&mut self, name: &str, span: Span) {
        if name.eq_ignore_ascii_case(ERRORS) {
            return;
        }
        match self.catalog.get(name) {
            None => {
                let fault = Diagnostic::new(span, format!("relation `{name}` does not exist"))
                    .suggest(name, self.catalog.readable_names());
                self.faults.push(fault);
            }
            Some(entity) if matches!(entity.kind(), EntityKind::Sink | EntityKind::Secret) => {
                let message = format!("`{name}` is a {}, it has no rows", entity.kind().words());
                let fault = Diagnostic::new(span, message).also(entity.name().span, "defined here");
                self.faults.push(fault);
            }
            Some(_) => {}
        }
    }

    fn entity(&mut self, entity: &Entity) -> Option<(Vec<(String, String)>, Work)> {
        let name = entity.name();
        match &entity.create.definition {
            Definition::Table(relation) | Definition::Source(relation) => {
                let of = (name, entity.kind(), relation);
                let work = relation::source(
                    self.binder,
                    &mut self.types,
                    &self.settings,
                    of,
                    &mut self.faults,
                )?;
                let columns = relation::visible_columns(relation);
                if let Work::Source(plan) = &work {
                    self.check_start_query(plan);
                    self.keep(name, plan.stored.clone());
                }
                Some((columns, work))
            }
            Definition::Lookup(relation) => {
                let of = (name, relation);
                let work = relation::lookup(
                    self.binder,
                    &mut self.types,
                    &self.settings,
                    of,
                    &mut self.faults,
                )?;
                if let Work::Lookup(plan) = &work {
                    self.known
                        .insert(name.key(), Known::Lookup(Arc::clone(plan)));
                }
                Some((relation::visible_columns(relation), work))
            }
            Definition::View { query } => self.view(name, query),
            Definition::MaterializedView {
                query,
                emit_on_window_close,
            } => {
                self.refuse_emit(*emit_on_window_close);
                self.materialized(name, query)
            }
            Definition::Sink {
                input,
                options,
                emit_on_window_close,
            } => {
                self.refuse_emit(*emit_on_window_close);
                self.sink(name, input, options)
                    .map(|work| (Vec::new(), work))
            }
            Definition::Secret { options, .. } => {
                let backend = options
                    .entries
                    .iter()
                    .find(|entry| entry.key.name == "backend");
                let backend = backend.map_or("meta", |entry| match &entry.value.kind {
                    OptionValueKind::Text(text) | OptionValueKind::Bare(text) => text.as_str(),
                    OptionValueKind::Secret(_) => "meta",
                });
                Some((
                    Vec::new(),
                    Work::Secret {
                        backend: backend.to_owned(),
                    },
                ))
            }
        }
    }

    fn refuse_emit(&mut self, span: Option<Span>) {
        if let Some(span) = span {
            self.faults.push(Diagnostic::new(
                span,
                "EMIT ON WINDOW CLOSE is not built yet",
            ));
        }
    }

    fn keep(&mut self, name: &Ident, stored: Stored) {
        self.known.insert(name.key(), Known::Kept(stored));
    }

    /// Binds the query that a WebSocket source starts its connections from.
    fn check_start_query(&mut self, plan: &super::node::SourcePlan) {
        let Some(start) = plan.connector.start_query() else {
            return;
        };
        let text = SqlText {
            text: start.text.expose().to_owned(),
            span: start.text.span,
        };
        match self.binder.describe(self.catalog, &text) {
            Err(fault) => self.faults.push(*fault),
            Ok(columns) => {
                for (name, span) in &start.columns {
                    if !columns
                        .iter()
                        .any(|(column, _)| column.eq_ignore_ascii_case(name))
                    {
                        let message = format!("`on_start_query` gives no column `{name}`");
                        let names = columns.iter().map(|(name, _)| name.as_str());
                        self.faults
                            .push(Diagnostic::new(*span, message).suggest(name, names));
                    }
                }
            }
        }
    }

    fn view(&mut self, name: &Ident, query: &SqlText) -> Option<(Vec<(String, String)>, Work)> {
        let columns = self.add_view(name, query)?;
        let info = self.feed(name, query)?;
        if info.feed.lookups.is_empty() {
            self.known.insert(name.key(), Known::View(info));
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
        let plan = self.derived(name, query, info, stored)?;
        self.keep(name, plan.stored.clone());
        Some((columns, Work::Derived(plan)))
    }

    fn materialized(
        &mut self,
        name: &Ident,
        query: &SqlText,
    ) -> Option<(Vec<(String, String)>, Work)> {
        let columns = self.add_view(name, query)?;
        let info = self.feed(name, query)?;
        let stored = Stored {
            name: name.name.clone(),
            columns: columns.clone(),
            layout: kept_layout(&info),
            visible: true,
        };
        let plan = self.derived(name, query, info, stored)?;
        self.keep(name, plan.stored.clone());
        Some((columns, Work::Derived(plan)))
    }

    fn add_view(&mut self, name: &Ident, query: &SqlText) -> Option<Vec<(String, String)>> {
        match self.binder.add_view(self.catalog, &name.name, query) {
            Ok(columns) => Some(columns),
            Err(fault) => {
                self.faults.push(*fault);
                None
            }
        }
    }

    fn derived(
        &mut self,
        name: &Ident,
        query: &SqlText,
        info: ViewInfo,
        stored: Stored,
    ) -> Option<DerivedPlan> {
        let asks = !info.feed.lookups.is_empty();
        let maintenance = match info.linear {
            Ok(()) => Maintenance::Linear,
            Err(reason) => Maintenance::Recompute { reason },
        };
        if let (true, Maintenance::Recompute { reason }) = (asks, &maintenance) {
            let message = format!("a lookup join is asked once per arriving row, but {reason}");
            let fault = Diagnostic::new(super::bind::first_word(query), message)
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

    fn sink(&mut self, name: &Ident, input: &SinkInput, list: &OptionList) -> Option<Work> {
        let query = match input {
            SinkInput::Query(query) => query.clone(),
            SinkInput::Relation(relation) => {
                let before = self.faults.len();
                self.check_readable(&relation.name, relation.span);
                if self.faults.len() > before {
                    return None;
                }
                SqlText {
                    text: format!("SELECT * FROM {}", quote_ident(&relation.name)),
                    span: relation.span,
                }
            }
        };
        let columns = match self.binder.describe(self.catalog, &query) {
            Ok(columns) => columns,
            Err(fault) => {
                self.faults.push(*fault);
                return None;
            }
        };
        if let SinkInput::Relation(_) = input {
            let parsed = self
                .binder
                .parse(self.catalog, &[&query])
                .ok()?
                .pop()?
                .ok()?;
            self.queries.insert(name.key(), (query.clone(), parsed));
        }
        let info = self.feed(name, &query)?;
        let schema = self.sink_schema(&query, &columns)?;
        let (mut options, connector) = connector_of(&self.settings, list, &mut self.faults)?;
        let snapshot = options.boolean("snapshot").unwrap_or(true);
        let Some(make) = connector.sink else {
            let message = format!("connector `{}` cannot be written to", connector.name);
            self.faults
                .push(Diagnostic::new(self.settings.connector_span(list), message));
            return None;
        };
        let made = make(&mut options, &schema);
        self.faults.extend(options.finish());
        let connector: Arc<dyn crate::connector::SinkConnector> = Arc::from(made?);
        let changing = info.linear.is_err() || kept_layout(&info) == Layout::Changing;
        if let (true, Changes::Refused { advice }) = (changing, connector.changes()) {
            let message = "this sink takes rows that only come, but those of its relation change";
            self.faults
                .push(Diagnostic::new(name.span, message).help(advice));
            return None;
        }
        let (feed, result) = if info.linear.is_ok() && info.feed.lookups.is_empty() {
            (info.feed, None)
        } else {
            let layout = if info.linear.is_ok() {
                Layout::Passing
            } else {
                Layout::Changing
            };
            let stored = Stored {
                name: format!("{} result", name.name),
                columns,
                layout,
                visible: false,
            };
            let result = self.derived(name, &query, info, stored.clone())?;
            (feed_of(stored), Some(result))
        };
        Some(Work::Sink(SinkPlan {
            connector,
            schema,
            feed,
            result,
            snapshot,
        }))
    }

    /// Returns the schema of a sink's rows, JSON columns marked as such.
    fn sink_schema(&mut self, query: &SqlText, columns: &[(String, String)]) -> Option<Schema> {
        match self.binder.schema(&query.text) {
            Ok(schema) => Some(crate::batch::mark_json(&schema, columns)),
            Err(error) => {
                self.faults
                    .push(Diagnostic::new(query.span, error.to_string()));
                None
            }
        }
    }

    /// Puts a bound query together with the views and streams under it.
    fn feed(&mut self, name: &Ident, query: &SqlText) -> Option<ViewInfo> {
        let (_, parsed) = self.queries.get(&name.key())?;
        let mut feed = Feed {
            inputs: Vec::new(),
            views: Vec::new(),
            query: query.text.clone(),
            lookups: Vec::new(),
        };
        let mut linear = Ok(());
        let mut asks = false;
        for read in &parsed.reads {
            match self.known.get(&read.name.to_lowercase()) {
                Some(Known::Kept(stored)) => add_input(&mut feed, stored),
                Some(Known::View(view)) => {
                    for input in &view.feed.inputs {
                        add_input(&mut feed, &input.stored);
                    }
                    let inner = view.feed.views.iter().cloned();
                    let entity = self
                        .catalog
                        .get(&read.name)
                        .map_or(&read.name, |entity| &entity.name().name);
                    for (name, text) in inner.chain([(entity.clone(), view.feed.query.clone())]) {
                        if !feed.views.iter().any(|(other, _)| *other == name) {
                            feed.views.push((name, text));
                        }
                    }
                    if let (Ok(()), Err(reason)) = (&linear, &view.linear) {
                        linear = Err(format!("of view `{}`: {reason}", read.name));
                    }
                }
                Some(Known::Lookup(_)) => asks = true,
                None => linear = Err(format!("it reads `{}`", read.name)),
            }
        }
        let tree = parsed.tree.clone();
        if linear.is_ok() {
            linear = self.linear(tree.as_ref());
        }
        if asks {
            self.ask(name, query, tree.as_ref(), &mut feed)?;
        }
        Some(ViewInfo { feed, linear })
    }

    fn linear(&self, tree: Option<&Value>) -> Result<(), String> {
        let Some(tree) = tree else {
            return Err("it is not a plain SELECT".to_owned());
        };
        shape::linear(tree, self.binder.aggregates(), &|name| match self
            .known
            .get(&name.to_lowercase())
        {
            Some(Known::Kept(_)) => true,
            Some(Known::View(view)) => !view.feed.inputs.is_empty(),
            _ => false,
        })
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
                .push(Diagnostic::new(super::bind::first_word(query), message));
            return None;
        };
        let find = |lookup: &str| match self.known.get(&lookup.to_lowercase()) {
            Some(Known::Lookup(plan)) => {
                let entity = self.catalog.get(lookup)?;
                Some((Arc::clone(plan), entity.name().clone()))
            }
            _ => None,
        };
        let prefix = format!("_answers_{}", name.key());
        match lookup::rewrite(self.binder, query, tree, &prefix, &find) {
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

    /// Checks the statements that define nothing: their queries bind, the names they give exist.
    fn commands(&mut self) {
        for command in &self.catalog.commands {
            match &command.kind {
                StatementKind::Query(query) | StatementKind::Explain(query) => {
                    self.command_query(query)
                }
                StatementKind::Drop(drop) if !drop.if_exists => {
                    self.check_exists(&drop.name, Some(drop.kind));
                }
                StatementKind::ShowCreate { kind, name } => self.check_exists(name, *kind),
                StatementKind::Describe(name) => self.check_exists(name, None),
                _ => {}
            }
        }
    }

    fn command_query(&mut self, query: &SqlText) {
        let parsed = match self
            .binder
            .parse(self.catalog, &[query])
            .map(|mut all| all.pop())
        {
            Ok(Some(Ok(parsed))) => parsed,
            Ok(Some(Err(fault))) => return self.faults.push(fault),
            Ok(None) => return,
            Err(error) => {
                return self
                    .faults
                    .push(Diagnostic::new(query.span, error.to_string()));
            }
        };
        let reads_broken = parsed
            .reads
            .iter()
            .any(|read| self.broken.contains(&read.name.to_lowercase()));
        if self.check_reads(query, &parsed.reads)
            && !reads_broken
            && let Err(fault) = self.binder.describe(self.catalog, query)
        {
            self.faults.push(*fault);
        }
    }

    fn check_exists(&mut self, name: &Ident, kind: Option<EntityKind>) {
        let Some(entity) = self.catalog.get(&name.name) else {
            let names = self
                .catalog
                .entities()
                .map(|entity| entity.name().name.as_str());
            let fault = Diagnostic::new(name.span, format!("`{}` does not exist", name.name));
            self.faults.push(fault.suggest(&name.name, names));
            return;
        };
        // `TABLE` also names a lookup, which is created by CREATE TEMP TABLE.
        let same = |kind| {
            kind == entity.kind()
                || (kind == EntityKind::Table && entity.kind() == EntityKind::Lookup)
        };
        if kind.is_some_and(|kind| !same(kind)) {
            let message = format!("`{}` is a {}", name.name, entity.kind().words());
            let fault =
                Diagnostic::new(name.span, message).also(entity.name().span, "defined here");
            self.faults.push(fault);
        }
    }
}

/// Returns the layout of a relation kept from this query.
fn kept_layout(info: &ViewInfo) -> Layout {
    let changing = info
        .feed
        .inputs
        .iter()
        .any(|input| input.stored.layout == Layout::Changing);
    if info.linear.is_ok() && !changing {
        Layout::Append
    } else {
        Layout::Changing
    }
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
fn feed_of(stored: Stored) -> Feed {
    Feed {
        query: format!("SELECT * FROM {}", quote_ident(&stored.name)),
        inputs: vec![Input { stored }],
        views: Vec::new(),
        lookups: Vec::new(),
    }
}

fn read_span(text: &SqlText, read: &Read) -> Span {
    match read.place {
        Some((start, length)) => {
            let start = text.text.floor_char_boundary(start);
            // DuckDB's length covers an alias too; the name is its first word.
            let rest = &text.text[start..];
            let length = if rest.len() >= read.name.len() {
                read.name.len()
            } else {
                length
            };
            text.span
                .part(start, text.text.floor_char_boundary(start + length))
        }
        None => super::bind::first_word(text),
    }
}

/// Returns the query of an entity, as far as it has one in its statement.
fn query_of(entity: &Entity, settings: &Settings<'_>) -> Option<SqlText> {
    match &entity.create.definition {
        Definition::View { query } | Definition::MaterializedView { query, .. } => {
            Some(query.clone())
        }
        Definition::Sink {
            input: SinkInput::Query(query),
            ..
        } => Some(query.clone()),
        Definition::Table(relation) | Definition::Source(relation) => {
            let entries = &relation.options.entries;
            let entry = entries
                .iter()
                .find(|entry| entry.key.name == "on_start_query")?;
            let OptionValueKind::Text(text) = &entry.value.kind else {
                return None;
            };
            let span = entry.value.span;
            let text = crate::options::replace_variables(text, span, settings.environment).ok()?;
            let verbatim = span.end - span.start == text.len() + 2;
            let span = if verbatim {
                span.part(1, text.len() + 1)
            } else {
                span
            };
            Some(SqlText { text, span })
        }
        _ => None,
    }
}
