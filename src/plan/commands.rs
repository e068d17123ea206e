//! The statements that define nothing: their queries bind, the names they give exist.

use super::build::Builder;
use crate::diagnostic::Diagnostic;
use crate::sql::{EntityKind, Ident, SqlText, StatementKind};

impl Builder<'_> {
    /// Checks the statements that define nothing: their queries bind, the names they give exist.
    pub(super) fn commands(&mut self) {
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
        let query = &parsed.as_run(query);
        let reads_broken = parsed
            .reads
            .iter()
            .any(|read| self.found.is_broken(&read.name));
        if !self.check_reads(query, &parsed.reads) || reads_broken {
            return;
        }
        match self.binder.describe(self.catalog, query) {
            Ok(_) => self.check_asked(query, &parsed),
            Err(fault) => self.faults.push(*fault),
        }
    }

    fn check_exists(&mut self, name: &Ident, kind: Option<EntityKind>) {
        let Some(entity) = self.catalog.get(&name.name) else {
            if self.catalog.is_broken(&name.name) {
                return;
            }
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
