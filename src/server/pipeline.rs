//! A pipeline as statements see it: its entities, their texts, and who reads whom.
//!
//! Made from the files and the state of a running pipeline, or from the state alone when nothing runs: then
//! the values of secrets that came from files are not known.

use std::collections::{BTreeMap, BTreeSet};

use super::recorded;
use super::vault::Vault;
use crate::catalog::{Catalog, Entity};
use crate::diagnostic::{Diagnostic, FileId, SourceMap, Span};
use crate::engine::{Ledger, Session};
use crate::plan::Plan;
use crate::sql::{Create, Definition, EntityKind, OptionValueKind, SinkInput, shown_secret};

/// All entities at one moment.
#[derive(Clone)]
pub struct Pipeline {
    pub sources: SourceMap,
    /// The place of the statements that are being executed.
    pub script: FileId,
    pub catalog: Catalog,
    /// The faults of reading it back from the state: another version may have written it.
    pub faults: Vec<Diagnostic>,
    /// What each entity reads, its secrets included, by lower-case name.
    reads: BTreeMap<String, BTreeSet<String>>,
    /// Texts of entities that are gone.
    free: Vec<FileId>,
}

impl Pipeline {
    /// Takes a checked pipeline with its plan.
    pub fn new(sources: SourceMap, catalog: Catalog, plan: &Plan) -> Self {
        let mut pipeline = Self::unread(sources, catalog);
        let reads = plan
            .nodes
            .iter()
            .map(|node| (node.name.to_lowercase(), node.reads.clone()));
        pipeline.set_reads(reads);
        pipeline
    }

    /// Of nothing is known what it reads.
    fn unread(mut sources: SourceMap, catalog: Catalog) -> Self {
        let script = sources.add("", "");
        Self {
            sources,
            script,
            catalog,
            faults: Vec::new(),
            reads: BTreeMap::new(),
            free: Vec::new(),
        }
    }

    /// Reads the pipeline that a state was left with.
    ///
    /// # Errors
    /// A secret cannot be decrypted, or DuckDB's own.
    pub fn of_state(session: &Session, vault: &Vault) -> anyhow::Result<Self> {
        let ledger = Ledger::new(session);
        let (mut sources, mut catalog) = (SourceMap::default(), Catalog::default());
        let mut faults = Vec::new();
        for entity in ledger.entities()? {
            recorded::add(&mut sources, &mut catalog, &entity, &mut faults);
        }
        recorded::open_secrets(&ledger, vault, &mut catalog)?;
        let of_files = (catalog.entities())
            .filter(|entity| entity.kind() == EntityKind::Secret && entity.origin.is_some());
        catalog.unknown = of_files.map(|entity| entity.name().key()).collect();
        let mut pipeline = Self::unread(sources, catalog);
        pipeline.find_reads(session)?;
        pipeline.faults = faults;
        Ok(pipeline)
    }

    /// Returns the catalog for checking.
    pub fn checkable(&self) -> Catalog {
        let mut catalog = self.catalog.clone();
        catalog.commands.clear();
        catalog
    }

    /// Notes who reads whom, from the texts of the queries alone.
    fn find_reads(&mut self, session: &Session) -> anyhow::Result<()> {
        let owners: Vec<(String, String)> = (self.catalog.entities())
            .filter_map(|entity| Some((entity.name().key(), query_of(entity)?)))
            .collect();
        let texts: Vec<&str> = owners.iter().map(|(_, text)| text.as_str()).collect();
        let parsed = session.parse(&texts)?;
        let reads = owners.iter().zip(parsed).map(|((name, _), query)| {
            let reads = query.map_or_else(|_| Vec::new(), |query| query.reads);
            (name.clone(), reads.into_iter().map(|read| read.name))
        });
        self.set_reads(reads);
        Ok(())
    }

    /// Notes what the query of each entity reads, and what entities name elsewhere.
    fn set_reads<R: IntoIterator<Item = String>>(
        &mut self,
        queries: impl IntoIterator<Item = (String, R)>,
    ) {
        self.reads.clear();
        for (name, reads) in queries {
            let reads = reads.into_iter().map(|read| read.to_lowercase());
            self.reads.entry(name).or_default().extend(reads);
        }
        for entity in self.catalog.entities() {
            let reads = self.reads.entry(entity.name().key()).or_default();
            reads.extend(entity.secrets().map(|secret| secret.key()));
            if let Definition::Sink {
                input: SinkInput::Relation(name),
                ..
            } = &entity.create.definition
            {
                reads.insert(name.key());
            }
        }
    }

    /// Returns what an entity reads, directly, secrets included.
    pub fn reads(&self, name: &str) -> impl Iterator<Item = &Entity> {
        let reads = self.reads.get(&name.to_lowercase());
        reads
            .into_iter()
            .flatten()
            .filter_map(|name| self.catalog.get(name))
    }

    /// Returns the entities that read this one, directly or through others, readers before what they read;
    /// the entity itself is not among them.
    pub fn dependents(&self, name: &str) -> Vec<&Entity> {
        let mut order = Vec::new();
        self.collect_dependents(&name.to_lowercase(), &mut order);
        order
            .iter()
            .filter_map(|name| self.catalog.get(name))
            .collect()
    }

    fn collect_dependents(&self, name: &str, order: &mut Vec<String>) {
        for (reader, reads) in &self.reads {
            if reads.contains(name) && !order.contains(reader) {
                self.collect_dependents(reader, order);
                // It may have come in by another way meanwhile.
                if !order.contains(reader) {
                    order.push(reader.clone());
                }
            }
        }
    }

    /// Says whether reading these relations now means to ask lookups: itself one, or a VIEW over one.
    pub fn asks<'a>(&self, reads: impl IntoIterator<Item = &'a str>) -> bool {
        reads
            .into_iter()
            .any(|name| match self.catalog.get(name).map(Entity::kind) {
                Some(EntityKind::Lookup) => true,
                Some(EntityKind::View) => {
                    let reads: Vec<&str> = self
                        .reads(name)
                        .map(|read| read.name().name.as_str())
                        .collect();
                    self.asks(reads)
                }
                _ => false,
            })
    }

    /// Adds an entity that a statement created, or puts it in the place of one of the same name.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn create(&mut self, entity: &Entity, session: &Session) -> anyhow::Result<()> {
        let name = entity.name().name.clone();
        self.release(&name);
        let title = format!("created by a statement ({name})");
        // A secret's value does not stay in a text that messages show.
        let shown = match backend_of(entity) {
            Some(backend) => shown_secret(&name, backend),
            None => entity.text.clone(),
        };
        let file = match self.free.pop() {
            Some(file) => {
                self.sources.replace(file, title, shown);
                file
            }
            None => self.sources.add(title, shown),
        };
        let Some((mut create, span)) = recorded::parse_one(&mut self.sources, file) else {
            anyhow::bail!("the text of `{name}` cannot be read again");
        };
        restore_value(&mut create, &entity.create);
        self.catalog.put(Entity {
            create,
            span,
            text: entity.text.clone(),
            origin: None,
        });
        self.find_reads(session)
    }

    /// Removes an entity.
    pub fn remove(&mut self, name: &str) {
        self.release(name);
        self.catalog.remove(name);
        self.reads.remove(&name.to_lowercase());
    }

    /// Gives back the text of an entity that a statement created.
    fn release(&mut self, name: &str) {
        let Some(entity) = self
            .catalog
            .get(name)
            .filter(|entity| entity.origin.is_none())
        else {
            return;
        };
        let Span { file, .. } = entity.span;
        self.sources.replace(file, "", "");
        self.free.push(file);
    }
}

fn restore_value(masked: &mut Create, clear: &Create) {
    if let (Definition::Secret { value: masked, .. }, Definition::Secret { value, .. }) =
        (&mut masked.definition, &clear.definition)
    {
        masked.kind = value.kind.clone();
    }
}

/// Returns the backend of a secret.
pub fn backend_of(entity: &Entity) -> Option<&str> {
    let Definition::Secret { options, .. } = &entity.create.definition else {
        return None;
    };
    let entry = options
        .entries
        .iter()
        .find(|entry| entry.key.name == "backend");
    Some(entry.map_or("meta", |entry| match &entry.value.kind {
        OptionValueKind::Text(text) | OptionValueKind::Bare(text) => text.as_str(),
        OptionValueKind::Secret(_) => "meta",
    }))
}

/// Returns the text of the query in an entity's statement.
fn query_of(entity: &Entity) -> Option<String> {
    match &entity.create.definition {
        Definition::View { query }
        | Definition::MaterializedView { query, .. }
        | Definition::Sink {
            input: SinkInput::Query(query),
            ..
        } => Some(query.text.clone()),
        Definition::Table(relation) | Definition::Source(relation) => {
            let entries = &relation.options.entries;
            let entry = entries
                .iter()
                .find(|entry| entry.key.name == "on_start_query")?;
            match &entry.value.kind {
                OptionValueKind::Text(text) => Some(text.clone()),
                _ => None,
            }
        }
        _ => None,
    }
}
