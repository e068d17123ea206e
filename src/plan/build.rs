//! Builds the plan of a catalog, entity by entity in the order of their dependencies, collecting all
//! faults.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::bind::{Binder, open_pivot, read_place};
use super::columns::Types;
use super::connect::Settings;
use super::known::{Findings, Known};
use super::lookup::alone;
use super::marks;
use super::node::{Node, Plan, Work};
use super::{relation, schedule};
use crate::catalog::{Catalog, ERRORS, Entity, Graph, cycle_faults, resolve_secrets};
use crate::connector::StartQuery;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::Stored;
use crate::engine::syntax::{Query, Read};
use crate::options::Environment;
use crate::secret::HIDDEN;
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
    faults: Vec<Diagnostic>,
) -> anyhow::Result<Checked> {
    check_with(&Binder::new()?, (catalog, environment), faults, &|_| ())
}

/// Is given what was found sound, by the threads that check: each entity after all it reads.
pub type Listener<'a> = &'a (dyn Fn(&Node) + Sync);

/// As [`check`], with a binder in which nothing has been bound yet, and with somebody who hears of each sound entity
/// while others are still checked.
///
/// # Errors
/// As [`check`].
pub fn check_with(
    binder: &Binder,
    (catalog, environment): (&Catalog, &Environment),
    faults: Vec<Diagnostic>,
    listener: Listener<'_>,
) -> anyhow::Result<Checked> {
    let mut commands = catalog.commands.iter();
    let asked = commands.any(|command| {
        matches!(
            command.kind,
            StatementKind::Query(_) | StatementKind::Explain(_)
        )
    });
    // What a secret reads is known when it is bound.
    let read_by_name = match asked || catalog.entities().any(starts_by_a_secret) {
        true => ReadByName::All,
        false => ReadByName::These(HashSet::new()),
    };
    let of = (catalog, environment, read_by_name);
    Ok(check_and(binder, of, (faults, listener), |_| ())?.0)
}

/// As [`check_with`], and asks `then` while everything is bound that is read by name, by the catalog's own queries or
/// others.
pub(super) fn check_and<T>(
    binder: &Binder,
    (catalog, environment, read_by_name): (&Catalog, &Environment, ReadByName),
    (mut faults, listener): (Vec<Diagnostic>, Listener<'_>),
    then: impl FnOnce(&mut Builder<'_>) -> T,
) -> anyhow::Result<(Checked, T)> {
    let secrets = resolve_secrets(catalog, environment, &mut faults);
    let settings = Settings {
        environment,
        secrets: &secrets,
    };
    let common = Common {
        catalog,
        settings,
        queries: Arc::default(),
        read_by_name: Arc::new(read_by_name),
        found: Arc::default(),
        listener,
    };
    let mut builder = Builder::new(common, binder);
    builder.faults = faults;
    let reads = builder.parse_queries()?;
    let graph = Graph::new(catalog, &reads);
    builder.faults.extend(cycle_faults(catalog, &graph));
    let nodes = schedule::nodes(&mut builder, &graph);
    builder.faults.extend(claimed_twice(catalog, &nodes));
    builder.partial();
    builder.commands();
    let answer = then(&mut builder);
    let mut faults = builder.faults;
    faults.sort_by_key(|fault| fault.span);
    let plan = faults.is_empty().then_some(Plan { nodes, secrets });
    let checked = Checked {
        plan,
        faults,
        graph,
    };
    Ok((checked, answer))
}

/// Finds sinks that would write over each other.
fn claimed_twice(catalog: &Catalog, nodes: &[Arc<Node>]) -> Vec<Diagnostic> {
    let mut owners: HashMap<String, &str> = HashMap::new();
    let mut faults = Vec::new();
    for node in nodes {
        let Work::Sink(plan) = &node.work else {
            continue;
        };
        // Of a secret, the value may not be known here.
        let known = |claimed: &String| !claimed.contains(HIDDEN);
        let claimed = plan.connector.claims().filter(known);
        let Some(first) = claimed.and_then(|claimed| owners.insert(claimed, &node.name)) else {
            continue;
        };
        let [first, second] = [first, node.name.as_str()].map(|name| catalog.get(name));
        if let (Some(first), Some(second)) = (first, second) {
            let (first, second) = (first.name(), second.name());
            let message = format!(
                "`{}` writes the same files as `{}`",
                second.name, first.name
            );
            let fault = Diagnostic::new(second.span, message)
                .also(first.span, "defined here")
                .help("give each sink a path of its own");
            faults.push(fault);
        }
    }
    faults
}

/// The queries of a catalog, parsed, by the key of their entity.
pub(super) type Queries = HashMap<String, (SqlText, Query)>;

/// The relations that a query reads by their names: the engine has to know them.
#[derive(Clone)]
pub(super) enum ReadByName {
    All,
    /// In lower case.
    These(HashSet<String>),
}

impl ReadByName {
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(&name.to_lowercase()),
        }
    }

    fn add(&mut self, reads: &[Read]) {
        if let Self::These(names) = self {
            names.extend(reads.iter().map(|read| read.name.to_lowercase()));
        }
    }
}

/// What is one for all threads that check a catalog.
#[derive(Clone)]
pub(super) struct Common<'a> {
    catalog: &'a Catalog,
    settings: Settings<'a>,
    queries: Arc<Queries>,
    read_by_name: Arc<ReadByName>,
    found: Arc<Findings>,
    listener: Listener<'a>,
}

/// What checking one catalog needs and finds, on one thread; the sibling modules add what they check to it.
pub(super) struct Builder<'a> {
    pub catalog: &'a Catalog,
    pub binder: &'a Binder,
    pub settings: Settings<'a>,
    pub types: Types,
    pub queries: Arc<Queries>,
    pub read_by_name: Arc<ReadByName>,
    pub found: Arc<Findings>,
    pub listener: Listener<'a>,
    pub faults: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    /// Makes a builder that has noted no faults.
    pub(super) fn new(common: Common<'a>, binder: &'a Binder) -> Self {
        Self {
            catalog: common.catalog,
            binder,
            settings: common.settings,
            types: Types::default(),
            queries: common.queries,
            read_by_name: common.read_by_name,
            found: common.found,
            listener: common.listener,
            faults: Vec::new(),
        }
    }

    /// Returns what builders on other threads share with this one.
    pub(super) fn common(&self) -> Common<'a> {
        Common {
            catalog: self.catalog,
            settings: self.settings,
            queries: Arc::clone(&self.queries),
            read_by_name: Arc::clone(&self.read_by_name),
            found: Arc::clone(&self.found),
            listener: self.listener,
        }
    }

    /// Checks one entity, all of whose reads have been checked; `None` after its faults were noted.
    pub(super) fn node(&mut self, entity: &Entity, reads: Vec<String>) -> Option<Node> {
        let name = &entity.name().name;
        let is_own_sound = !self.found.is_broken(name) && !self.found.is_faulty(name);
        let mut broken = reads.iter().filter(|read| self.found.is_broken(read));
        let is_query_sound = is_own_sound && broken.next().is_none();
        if !is_query_sound && !has_columns(entity) {
            if let Definition::Sink { options, .. } = &entity.create.definition {
                self.check_sink_options(options);
            }
            self.found.add_broken(name);
            return None;
        }
        let before = self.faults.len();
        let Some((columns, work)) = self.entity(entity) else {
            self.found.add_broken(name);
            return None;
        };
        let mut faulty = reads.iter().filter(|read| self.found.is_faulty(read));
        if !is_query_sound || self.faults.len() > before || faulty.next().is_some() {
            self.found.add_faulty(name);
            return None;
        }
        Some(Node {
            name: name.clone(),
            kind: entity.kind(),
            definition: entity.text.clone(),
            origin: entity.origin.clone(),
            reads,
            columns,
            work,
        })
    }

    /// Checks the options of relations whose column list is faulty.
    fn partial(&mut self) {
        for create in &self.catalog.partial {
            let (Definition::Table(relation)
            | Definition::Source(relation)
            | Definition::Lookup(relation)) = &create.definition
            else {
                continue;
            };
            relation::check_options(
                self.binder,
                &mut self.types,
                &self.settings,
                (create.definition.kind(), relation),
                &mut self.faults,
            );
        }
    }

    /// Parses all queries at once and returns what each entity reads.
    fn parse_queries(&mut self) -> anyhow::Result<Vec<Vec<(String, Span)>>> {
        let owners: Vec<(String, SqlText)> = (self.catalog.entities())
            .filter_map(|entity| Some((entity.name().key(), query_of(entity, &self.settings)?)))
            .collect();
        let texts: Vec<&SqlText> = owners.iter().map(|(_, query)| query).collect();
        let parsed = schedule::parse(self.binder, self.catalog, &texts)?;
        let mut queries = Queries::new();
        for ((key, text), parsed) in owners.into_iter().zip(parsed) {
            match parsed {
                Ok(mut query) => {
                    // A guess: its own name is that of a column it gives.
                    query.keep_known(&|name| name.to_lowercase() != key);
                    let text = query.as_run(&text);
                    let pivot = open_pivot(&text, &query);
                    if self.check_reads(&text, &query.reads) && pivot.is_none() {
                        if !self.is_whole_relation(&key) {
                            Arc::make_mut(&mut self.read_by_name).add(&query.reads);
                        }
                        queries.insert(key, (text, query));
                    } else {
                        self.faults.extend(pivot);
                        self.add_faulty_query(&key);
                    }
                }
                Err(fault) => {
                    self.faults.push(fault);
                    self.add_faulty_query(&key);
                }
            }
        }
        self.queries = Arc::new(queries);
        Ok(self
            .catalog
            .entities()
            .map(|entity| self.reads_of(entity))
            .collect())
    }

    fn add_faulty_query(&self, key: &str) {
        match self.catalog.get(key).is_some_and(has_columns) {
            true => self.found.add_faulty(key),
            false => self.found.add_broken(key),
        }
    }

    /// Says whether an entity is a sink of all rows of a relation, whose columns are known without its query.
    pub(super) fn is_whole_relation(&self, key: &str) -> bool {
        let entity = self.catalog.get(key);
        entity.is_some_and(|entity| {
            matches!(
                entity.create.definition,
                Definition::Sink {
                    input: SinkInput::Relation(_),
                    emit_on_window_close: None,
                    ..
                }
            )
        })
    }

    fn reads_of(&self, entity: &Entity) -> Vec<(String, Span)> {
        let mut reads: Vec<(String, Span)> = Vec::new();
        if let Some((text, query)) = self.queries.get(&entity.name().key()) {
            for read in &query.reads {
                reads.push((read.name.clone(), read_place(text, read)));
            }
        }
        reads
    }

    /// Says whether every relation that a query names is one it may read and that could be read.
    pub(super) fn check_reads(&mut self, text: &SqlText, reads: &[Read]) -> bool {
        let mut readable = true;
        for read in reads {
            let span = read_place(text, read);
            if read.qualified {
                let message = format!("`{}` is named with a schema", read.name);
                self.faults.push(
                    Diagnostic::new(span, message).help("entities of a pipeline are named alone"),
                );
                readable = false;
            } else {
                readable &= self.check_readable(&read.name, span);
            }
        }
        readable
    }

    /// Says whether a name can be read; notes a fault unless that of its own definition says why not.
    pub(super) fn check_readable(&mut self, name: &str, span: Span) -> bool {
        if name.eq_ignore_ascii_case(ERRORS) {
            return true;
        }
        let fault = match self.catalog.get(name) {
            None if self.catalog.is_broken(name) => return false,
            None => Diagnostic::new(span, format!("relation `{name}` does not exist"))
                .suggest(name, self.catalog.readable_names()),
            Some(entity) if matches!(entity.kind(), EntityKind::Sink | EntityKind::Secret) => {
                let message = format!("`{name}` is a {}, it has no rows", entity.kind().words());
                Diagnostic::new(span, message).also(entity.name().span, "defined here")
            }
            Some(_) => return true,
        };
        self.faults.push(fault);
        false
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
                    self.check_start_query(name, plan);
                    self.keep(name, plan.stored.clone());
                    if let Some(watermark) = &plan.ingest.watermark {
                        let time = (watermark.column.clone(), vec![marks::watermark()]);
                        self.found.add_times(&name.name, vec![time]);
                    }
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
                    self.found.add(&name.name, Known::Lookup(Arc::clone(plan)));
                }
                Some((relation::visible_columns(relation), work))
            }
            Definition::View { .. } => {
                let (query, _) = self.queries.get(&name.key())?.clone();
                self.view(name, &query)
            }
            Definition::MaterializedView {
                emit_on_window_close,
                ..
            } => {
                let (query, _) = self.queries.get(&name.key())?.clone();
                self.materialized(name, &query, *emit_on_window_close)
            }
            Definition::Sink {
                options,
                emit_on_window_close,
                ..
            } => self
                .sink(name, *emit_on_window_close, options)
                .map(|work| (Vec::new(), work)),
            Definition::Secret { options, .. } => Some((
                Vec::new(),
                Work::Secret {
                    backend: backend_of(options),
                },
            )),
        }
    }

    pub(super) fn keep(&mut self, name: &Ident, stored: Stored) {
        self.found.add(&name.name, Known::Kept(stored));
    }

    /// Binds the query that a WebSocket source starts its connections from.
    fn check_start_query(&mut self, name: &Ident, plan: &super::node::SourcePlan) {
        // Of a secret, the text may not be known here.
        let known = |start: &&StartQuery| start.text.expose() != HIDDEN;
        let Some(start) = plan.connector.start_query().filter(known) else {
            return;
        };
        if self.found.is_faulty(&name.name) {
            return;
        }
        if let Some((text, query)) = self.queries.get(&name.key()) {
            let mut reads = query.reads.iter();
            if reads.any(|read| self.found.is_broken(&read.name)) {
                return;
            }
            let lookup = |read: &&Read| self.found.is_lookup(&read.name);
            let faults = (query.reads.iter().filter(lookup)).map(|read| {
                alone(&read.name, read_place(text, read))
                    .help("join it in a VIEW, and read that here")
            });
            self.faults.extend(faults);
        }
        let text = start.text.expose().to_owned();
        let span = start.text.part(0, text.len());
        let text = SqlText::new(text, span);
        match self.binder.describe(self.catalog, &text) {
            Err(fault) => self.faults.push(*fault),
            Ok(columns) => {
                self.faults.extend(column_faults(start, &columns));
            }
        }
    }
}

/// Says whether an entity declares its columns, so that they do not come from its query.
fn has_columns(entity: &Entity) -> bool {
    matches!(
        entity.create.definition,
        Definition::Table(_) | Definition::Source(_)
    )
}

/// Returns what is wrong with the uses of the columns that a source's query gives.
fn column_faults(start: &StartQuery, columns: &[(String, String)]) -> Vec<Diagnostic> {
    let is_column = |name: &str| {
        let mut columns = columns.iter();
        columns.any(|(column, _)| column.eq_ignore_ascii_case(name))
    };
    let names = || columns.iter().map(|(name, _)| name.as_str());
    let unknown = start.columns.iter().filter(|(name, _)| !is_column(name));
    let unknown = unknown.map(|(name, span)| {
        let message = format!("`on_start_query` gives no column `{name}`");
        Diagnostic::new(*span, message).suggest(name, names())
    });
    let kept = start.kept.iter().filter(|(name, _)| is_column(name));
    let kept = kept.map(|(name, span)| {
        let message = format!("`${name}` is sent as it is: columns are put into `url` only");
        Diagnostic::new(*span, message).help(format!(
            "write it in `url`; if the text is meant, give the column of `on_start_query` another name than `{name}`"
        ))
    });
    unknown.chain(kept).collect()
}

/// Returns where a secret's value is kept, as written.
fn backend_of(options: &OptionList) -> String {
    let mut entries = options.entries.iter();
    let backend = entries.find(|entry| entry.key.name == "backend");
    match backend.map(|entry| &entry.value.kind) {
        Some(OptionValueKind::Text(text) | OptionValueKind::Bare(text)) => text.clone(),
        Some(OptionValueKind::Secret(_)) | None => "meta".to_owned(),
    }
}

/// Says whether the query that a source's connections are started from is a secret.
fn starts_by_a_secret(entity: &Entity) -> bool {
    let (Definition::Table(relation) | Definition::Source(relation)) = &entity.create.definition
    else {
        return false;
    };
    let mut entries = relation.options.entries.iter();
    entries.any(|entry| {
        entry.key.name == "on_start_query" && matches!(entry.value.kind, OptionValueKind::Secret(_))
    })
}

/// Returns the query of an entity, if it has one; that of `FROM relation` is ours.
fn query_of(entity: &Entity, settings: &Settings<'_>) -> Option<SqlText> {
    match &entity.create.definition {
        Definition::View { query } | Definition::MaterializedView { query, .. } => {
            Some(query.clone())
        }
        Definition::Sink {
            input: SinkInput::Query(query),
            ..
        } => Some(query.clone()),
        Definition::Sink {
            input: SinkInput::Relation(relation),
            ..
        } => {
            let text = format!("SELECT * FROM {}", quote_ident(&relation.name));
            Some(SqlText::new(text, relation.span))
        }
        Definition::Table(relation) | Definition::Source(relation) => {
            let entries = &relation.options.entries;
            let entry = entries
                .iter()
                .find(|entry| entry.key.name == "on_start_query")?;
            let OptionValueKind::Text(text) = &entry.value.kind else {
                return None;
            };
            let span = entry.value.span;
            let written = text;
            let text = crate::options::replace_variables(text, span, settings.environment).ok()?;
            let verbatim = text == *written && span.end - span.start == text.len() + 2;
            let span = if verbatim {
                span.part(1, text.len() + 1)
            } else {
                span
            };
            Some(SqlText::new(text, span))
        }
        _ => None,
    }
}
