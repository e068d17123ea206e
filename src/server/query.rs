//! `SELECT`: any query over what the pipeline has, and nothing but queries.

use super::control::Control;
use super::protocol::{ColumnHead, Event, RowWriter};
use super::service::{Refusal, Script};
use crate::catalog::ERRORS;
use crate::diagnostic::Diagnostic;
use crate::engine::syntax::Query;
use crate::engine::types::without_arrow;
use crate::engine::{Session, SqlFault};
use crate::plan::{place_in, query_fault};
use crate::sql::{EntityKind, SqlText};

/// SQL that is ready to run, for a query of the user.
pub struct Ready {
    pub sql: String,
    /// Where the user's text starts in it, if it stands there as written.
    pub offset: Option<usize>,
}

impl Ready {
    /// Returns it with the columns as texts that have another form outside of the engine; of these columns.
    fn as_texts(&self, columns: &[(String, String)]) -> Self {
        let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
        let items = names.iter().zip(columns);
        let items = items.map(|(name, (_, sql_type))| match without_arrow(sql_type) {
            Some(_) => format!("{name}::VARCHAR"),
            None => name.clone(),
        });
        let head = format!("SELECT {} FROM (", items.collect::<Vec<_>>().join(", "));
        Self {
            sql: format!("{head}{}\n) AS _rows({})", self.sql, names.join(", ")),
            offset: self.offset.map(|offset| offset + head.len()),
        }
    }
}

impl Script<'_> {
    /// Runs a query and emits its result. Relations are read as they are at one instant.
    pub fn select(&mut self, written: &SqlText) -> Result<(), Refusal> {
        let session = self.service.session()?;
        let control: &Control = self.control;
        let timeout = self.settings.statement_timeout();
        control.statement(Some(session.interrupt_handle()), timeout, |stop| {
            let (query, parsed) = &self.parsed(&session, written)?;
            let reads = parsed.reads.iter().map(|read| read.name.as_str());
            let ready = if self.pipeline.asks(reads) {
                self.live(&session, written, stop)?
            } else {
                self.plain(query, parsed)?
            };
            self.stream(&session, query, &ready)
        })
    }

    /// Parses a query and checks what it reads; returns it as it runs.
    pub fn parsed(&self, session: &Session, query: &SqlText) -> Result<(SqlText, Query), Refusal> {
        let mut parsed = session.parse(&[&query.text])?;
        let parsed = parsed
            .pop()
            .unwrap_or_else(|| Err(SqlFault::of("expected one query")));
        let mut parsed = parsed.map_err(|fault| self.fault(fault, query))?;
        parsed.keep_known(&|name| self.pipeline.catalog.get(name).is_some());
        let query = parsed.as_run(query);
        let mut faults = Vec::new();
        for read in &parsed.reads {
            let place = read.place.map(|(start, _)| (start, read.name.len()));
            let span = match place {
                Some((start, length)) => place_in(&query, start, length),
                None => query.span.part(0, 1),
            };
            if read.qualified {
                let fault =
                    Diagnostic::new(span, format!("`{}` is named with a schema", read.name));
                faults.push(fault.help("entities of a pipeline are named alone"));
                continue;
            }
            match self.pipeline.catalog.get(&read.name) {
                None if read.name.eq_ignore_ascii_case(ERRORS) => {}
                None => {
                    let fault =
                        Diagnostic::new(span, format!("relation `{}` does not exist", read.name));
                    faults.push(fault.suggest(&read.name, self.pipeline.catalog.readable_names()));
                }
                Some(entity) if matches!(entity.kind(), EntityKind::Sink | EntityKind::Secret) => {
                    let message = format!(
                        "`{}` is a {}, it has no rows",
                        read.name,
                        entity.kind().words()
                    );
                    faults.push(
                        Diagnostic::new(span, message).also(entity.name().span, "defined here"),
                    );
                }
                Some(_) => {}
            }
        }
        if faults.is_empty() {
            Ok((query, parsed))
        } else {
            Err(Refusal::Faults(faults))
        }
    }

    pub fn fault(&self, fault: SqlFault, query: &SqlText) -> Refusal {
        query_fault(fault, query, &self.pipeline.catalog).into()
    }

    /// Makes sure that a text is a query and nothing else.
    ///
    /// Where DuckDB gives a tree it has said so itself. Where it cannot (a `PIVOT` without a list of values), the text goes
    /// into a subquery, and must have no `;`, with which another statement could begin.
    fn plain(&self, query: &SqlText, parsed: &Query) -> Result<Ready, Refusal> {
        if parsed.tree.is_some() {
            return Ok(Ready {
                sql: query.text.clone(),
                offset: Some(0),
            });
        }
        if let Some(at) = query.text.find(';') {
            let fault = Diagnostic::new(
                query.span.part(at, at + 1),
                "a query of this form cannot have a `;`",
            );
            return Err(fault
                .help("put the `SELECT` around it: `SELECT * FROM (…)`")
                .into());
        }
        const HEAD: &str = "SELECT * FROM (";
        Ok(Ready {
            sql: format!("{HEAD}{}\n)", query.text),
            offset: Some(HEAD.len()),
        })
    }

    /// Runs the SQL in a transaction that cannot write, and emits its rows as they come.
    pub fn stream(
        &mut self,
        session: &Session,
        query: &SqlText,
        ready: &Ready,
    ) -> Result<(), Refusal> {
        session.execute_batch("BEGIN TRANSACTION READ ONLY")?;
        let columns = match session.describe(&ready.sql) {
            Ok(columns) => columns,
            Err(fault) => return Err(self.placed(fault, query, ready)),
        };
        let shown;
        let ready = match columns.iter().any(|(_, of)| without_arrow(of).is_some()) {
            true => {
                shown = ready.as_texts(&columns);
                &shown
            }
            false => ready,
        };
        let columns: Vec<ColumnHead> = (columns.into_iter())
            .map(|(name, sql_type)| ColumnHead { name, sql_type })
            .collect();
        let mut writer = RowWriter::new(&columns);
        (self.emit)(Event::Columns(columns))?;
        let (emit, control) = (&mut *self.emit, self.control);
        let streamed = session.stream(&ready.sql, &[], &mut |piece| {
            control.check()?;
            writer.write(&piece, emit)
        });
        match streamed {
            Ok(_) => Ok(writer.flush(&mut *self.emit)?),
            Err(error) => Err(match error.downcast::<SqlFault>() {
                Ok(fault) => self.placed(fault, query, ready),
                Err(error) => error.into(),
            }),
        }
    }

    /// Finds the place of a fault in what the user wrote.
    fn placed(&self, mut fault: SqlFault, query: &SqlText, ready: &Ready) -> Refusal {
        fault = match ready.offset {
            Some(offset) => fault.moved(offset),
            None => fault.moved(usize::MAX),
        };
        self.fault(fault, query)
    }
}
