//! The entities of a pipeline: unique names, secrets, and who reads whom.
//!
//! Made from parsed files; knows what names mean to each other, not what a query's columns are (that is
//! the plan's) and not what runs.

mod graph;
mod secrets;

pub use graph::{Graph, cycle_faults};
pub use secrets::resolve_secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, FileId, SourceMap, Span};
use crate::sql::{
    Create, Definition, EntityKind, Ident, OptionValueKind, Statement, StatementKind, parse_file,
};

/// One named thing of the pipeline.
#[derive(Clone, Debug)]
pub struct Entity {
    pub create: Create,
    pub span: Span,
    /// The statement as written.
    pub text: String,
    /// The file it is defined in; `None` for a statement given to a running pipeline.
    pub origin: Option<PathBuf>,
}

impl Entity {
    pub fn name(&self) -> &Ident {
        &self.create.name
    }

    pub fn kind(&self) -> EntityKind {
        self.create.definition.kind()
    }

    /// Returns the secrets that the entity's options name.
    pub fn secrets(&self) -> impl Iterator<Item = &Ident> {
        let options = match &self.create.definition {
            Definition::Table(relation)
            | Definition::Source(relation)
            | Definition::Lookup(relation) => Some(&relation.options),
            Definition::Sink { options, .. } => Some(options),
            _ => None,
        };
        let entries = options.into_iter().flat_map(|options| &options.entries);
        entries.filter_map(|entry| match &entry.value.kind {
            OptionValueKind::Secret(name) => Some(name),
            _ => None,
        })
    }
}

/// All entities by the lower-case form of their name, in the order they were defined, and the statements
/// that define none.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entities: IndexMap<String, Entity>,
    pub commands: Vec<Statement>,
    /// The names of statements that could not be read, in lower case, with their places: whoever uses one is not blamed.
    broken: BTreeMap<String, Span>,
    /// Those of them whose column list alone is faulty, as far as they were read.
    pub partial: Vec<Create>,
    /// The secrets whose values are not known here, in lower case.
    pub unknown: BTreeSet<String>,
}

impl Catalog {
    /// Parses all files of a source map into one catalog.
    ///
    /// Returns the faults found along with what could be read in spite of them.
    pub fn of_files(sources: &SourceMap) -> (Self, Vec<Diagnostic>) {
        let mut catalog = Self::default();
        let mut faults = Vec::new();
        for file in sources.files() {
            catalog.add_file(sources, file, Some(sources.path(file)), &mut faults);
        }
        (catalog, faults)
    }

    /// Parses one file and adds its statements.
    pub fn add_file(
        &mut self,
        sources: &SourceMap,
        file: FileId,
        origin: Option<&Path>,
        faults: &mut Vec<Diagnostic>,
    ) {
        let parsed = parse_file(sources, file);
        faults.extend(parsed.faults);
        self.partial.extend(parsed.partial);
        let mut broken = parsed.broken.iter().peekable();
        for statement in parsed.statements {
            while let Some(name) = broken.next_if(|name| name.span < statement.span) {
                self.add_broken(name, faults);
            }
            self.add(sources, statement, origin, faults);
        }
        broken.for_each(|name| self.add_broken(name, faults));
    }

    fn add_broken(&mut self, name: &Ident, faults: &mut Vec<Diagnostic>) {
        match self.place_of(&name.key()) {
            Some(first) => faults.push(defined_twice(name, first)),
            None => {
                self.broken.insert(name.key(), name.span);
            }
        }
    }

    /// Returns where a name is defined, by a statement that could not be read too.
    fn place_of(&self, key: &str) -> Option<Span> {
        let entity = self.entities.get(key).map(|entity| entity.name().span);
        entity.or_else(|| self.broken.get(key).copied())
    }

    fn add(
        &mut self,
        sources: &SourceMap,
        statement: Statement,
        origin: Option<&Path>,
        faults: &mut Vec<Diagnostic>,
    ) {
        let StatementKind::Create(create) = statement.kind else {
            self.commands.push(statement);
            return;
        };
        let key = create.name.key();
        if key == ERRORS {
            faults.push(
                Diagnostic::new(
                    create.name.span,
                    format!("`{ERRORS}` is the relation of errors"),
                )
                .help("choose another name"),
            );
        } else if let Some(first) = self.place_of(&key) {
            faults.push(defined_twice(&create.name, first));
        } else {
            let entity = Entity {
                create: *create,
                span: statement.span,
                text: sources.slice(statement.span).to_owned(),
                origin: origin.map(Path::to_owned),
            };
            self.entities.insert(key, entity);
        }
    }

    /// Returns the entity of that name, compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&Entity> {
        self.entities.get(&name.to_lowercase())
    }

    /// Says whether a statement that defines this name is there but could not be read.
    pub fn is_broken(&self, name: &str) -> bool {
        self.broken.contains_key(&name.to_lowercase())
    }

    /// Returns the names of the statements that could not be read, in lower case.
    pub fn broken_names(&self) -> impl Iterator<Item = &str> {
        self.broken.keys().map(String::as_str)
    }

    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.entities.values()
    }

    pub fn len(&self) -> usize {
        self.entities.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Adds an entity of a running pipeline, or takes the place of one of the same name.
    pub fn put(&mut self, entity: Entity) {
        self.entities.insert(entity.name().key(), entity);
    }

    /// Removes an entity.
    pub fn remove(&mut self, name: &str) -> Option<Entity> {
        self.unknown.remove(&name.to_lowercase());
        self.entities.shift_remove(&name.to_lowercase())
    }

    /// Returns the names that a query can read.
    pub fn readable_names(&self) -> impl Iterator<Item = &str> {
        self.entities()
            .filter(|entity| !matches!(entity.kind(), EntityKind::Sink | EntityKind::Secret))
            .map(|entity| entity.name().name.as_str())
            .chain([ERRORS])
    }
}

fn defined_twice(name: &Ident, first: Span) -> Diagnostic {
    let message = format!("`{}` is defined twice", name.name);
    Diagnostic::new(name.span, message)
        .label("defined again here")
        .also(first, "first defined here")
        .help("rename one of them")
}

/// The relation of errors that every pipeline has.
pub const ERRORS: &str = "omlsp_errors";
