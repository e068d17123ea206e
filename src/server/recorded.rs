//! Entities as the state has them, read back into a catalog.

use std::collections::HashMap;
use std::path::Path;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine::{Ledger, RecordedEntity, Session};
use crate::sql::{Definition, OptionValueKind, StatementKind, name_in_sql, parse_file};

use super::vault::Vault;

/// Adds the entities that statements created to a catalog of files, with their secrets decrypted.
///
/// A name that a file defines too is a fault that shows both places. `advise` returns the command that executes a
/// statement.
///
/// # Errors
/// A secret cannot be decrypted, or DuckDB's own.
pub fn add_created(
    session: &Session,
    vault: &Vault,
    (sources, catalog): (&mut SourceMap, &mut Catalog),
    faults: &mut Vec<Diagnostic>,
    advise: &dyn Fn(&str) -> String,
) -> anyhow::Result<()> {
    let ledger = Ledger::new(session);
    let entities = ledger.entities()?;
    let created = entities.iter().filter(|entity| entity.origin.is_none());
    for entity in created {
        let first = catalog.get(&entity.name).map(|first| first.name().clone());
        add(sources, catalog, entity, faults);
        if let (Some(first), Some(last)) = (first, faults.last_mut()) {
            // The catalog keeps the file's; what it said is said better here.
            let message = format!("`{}` is defined by a file and by a statement", first.name);
            *last = Diagnostic::new(first.span, message)
                .label("defined here")
                .also(last.span, "created by this statement")
                .help(format!(
                    "rename the one in the file, or drop the other: {}",
                    advise(&drop_sql(&entity.kind, &entity.name))
                ));
        }
    }
    open_secrets(&ledger, vault, catalog)
}

fn drop_sql(kind: &str, name: &str) -> String {
    format!("DROP {kind} {}", name_in_sql(name))
}

/// Tells of faults in what statements created how to be rid of that: it is in no file. `advise` as for [`add_created`].
pub fn advise_drop(catalog: &Catalog, faults: &mut [Diagnostic], advise: &dyn Fn(&str) -> String) {
    for fault in faults {
        let mut created = catalog
            .entities()
            .filter(|entity| entity.origin.is_none() && entity.span.file == fault.span.file);
        if let Some(entity) = created.next() {
            let kind = entity.create.definition.kind().words();
            let command = advise(&drop_sql(kind, &entity.name().name));
            let drop = format!("what is not wanted any more can go: {command}");
            fault.help = Some(match fault.help.take() {
                Some(help) => format!("{help}; {drop}"),
                None => drop,
            });
        }
    }
}

/// Parses a recorded definition and adds it.
pub(super) fn add(
    sources: &mut SourceMap,
    catalog: &mut Catalog,
    entity: &RecordedEntity,
    faults: &mut Vec<Diagnostic>,
) {
    let title = match &entity.origin {
        Some(origin) => format!("{origin} ({})", entity.name),
        None => format!("created by a statement ({})", entity.name),
    };
    let file = sources.add(title, entity.definition.as_str());
    catalog.add_file(
        sources,
        file,
        entity.origin.as_deref().map(Path::new),
        faults,
    );
}

/// Puts the values of the secrets that the state keeps into the catalog.
///
/// # Errors
/// One cannot be decrypted, or DuckDB's own.
pub(super) fn open_secrets(
    ledger: &Ledger<'_>,
    vault: &Vault,
    catalog: &mut Catalog,
) -> anyhow::Result<()> {
    let sealed: HashMap<String, String> = (ledger.secrets()?.into_iter())
        .map(|(name, sealed)| (name.to_lowercase(), sealed))
        .collect();
    let created: Vec<_> = (catalog.entities())
        .filter(|entity| entity.origin.is_none() && sealed.contains_key(&entity.name().key()))
        .cloned()
        .collect();
    for mut entity in created {
        let name = entity.name().clone();
        if let Definition::Secret { value, .. } = &mut entity.create.definition {
            let opened = vault.open(&name.name, &sealed[&name.key()])?;
            value.kind = OptionValueKind::Text(opened.expose().to_owned());
            catalog.put(entity);
        }
    }
    Ok(())
}

/// Parses one CREATE statement out of its own text, for good.
pub(super) fn parse_one(
    sources: &mut SourceMap,
    file: crate::diagnostic::FileId,
) -> Option<(crate::sql::Create, crate::diagnostic::Span)> {
    let statement = parse_file(sources, file).statements.into_iter().next()?;
    match statement.kind {
        StatementKind::Create(create) => Some((*create, statement.span)),
        _ => None,
    }
}
