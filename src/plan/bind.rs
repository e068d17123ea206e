//! The binder: a database of empty tables in which every name and type of a pipeline is checked by the
//! engine that will run it.

use std::collections::HashSet;

use crate::batch::Schema;
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::syntax::Query;
use crate::engine::{Database, Session, SqlFault};
use crate::sql::{SqlText, quote_ident};

/// An in-memory database with one empty relation per bound entity.
pub struct Binder {
    session: Session,
    aggregates: HashSet<String>,
    // Keeps the database open; the session is one of its connections.
    _database: Database,
}

impl Binder {
    /// # Errors
    /// DuckDB cannot be opened at all (out of memory).
    pub fn new() -> anyhow::Result<Self> {
        let database = Database::open(None)?;
        let session = database.session()?;
        session.execute_batch(
            "CREATE TABLE main.omlsp_errors (time TIMESTAMP, entity VARCHAR, stage VARCHAR, \
             message VARCHAR, payload VARCHAR)",
        )?;
        let aggregates = session.aggregate_names()?;
        Ok(Self {
            session,
            aggregates,
            _database: database,
        })
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the names of aggregate functions, in lower case.
    pub fn aggregates(&self) -> &HashSet<String> {
        &self.aggregates
    }

    /// Parses queries, all at once; a fault has its place in the user's text.
    ///
    /// # Errors
    /// DuckDB failed as a whole.
    pub fn parse(
        &self,
        catalog: &Catalog,
        queries: &[&SqlText],
    ) -> anyhow::Result<Vec<Result<Query, Diagnostic>>> {
        let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        let parsed = self.session.parse(&texts)?;
        Ok(parsed
            .into_iter()
            .zip(queries)
            .map(|(parsed, query)| parsed.map_err(|fault| query_fault(fault, query, catalog)))
            .collect())
    }

    /// Makes an empty table of the given columns.
    ///
    /// # Errors
    /// The fault; its place counts from the start of the column list.
    pub fn add_table(&self, name: &str, columns: &[(String, String)]) -> Result<(), SqlFault> {
        let columns: Vec<String> = (columns.iter())
            .map(|(name, sql_type)| format!("{} {sql_type}", quote_ident(name)))
            .collect();
        let sql = format!(
            "CREATE TABLE main.{} ({})",
            quote_ident(name),
            columns.join(", ")
        );
        self.session.try_statement(&sql)
    }

    /// Makes a view of a query and returns its columns.
    ///
    /// # Errors
    /// The fault, at its place in the user's text.
    pub fn add_view(
        &self,
        catalog: &Catalog,
        name: &str,
        query: &SqlText,
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let columns = self.describe(catalog, query)?;
        let head = format!("CREATE VIEW main.{} AS ", quote_ident(name));
        let sql = format!("{head}{}", query.text);
        self.session
            .try_statement(&sql)
            .map_err(|fault| Box::new(query_fault(fault.moved(head.len()), query, catalog)))?;
        Ok(columns)
    }

    /// Returns the columns of a query. Two of one name are a fault: a relation has each name once.
    ///
    /// # Errors
    /// The fault, at its place in the user's text.
    pub fn describe(
        &self,
        catalog: &Catalog,
        query: &SqlText,
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let columns = self
            .session
            .describe(&query.text)
            .map_err(|fault| Box::new(query_fault(fault, query, catalog)))?;
        let mut seen = HashSet::new();
        for (name, _) in &columns {
            if !seen.insert(name.to_lowercase()) {
                let message = format!("the query gives two columns named `{name}`");
                let fault = Diagnostic::new(first_word(query), message)
                    .help(format!("rename one of them: `… AS {name}_2`"));
                return Err(Box::new(fault));
            }
        }
        Ok(columns)
    }

    /// Returns the Arrow schema of a query that has been bound.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn schema(&self, query: &str) -> anyhow::Result<Schema> {
        self.session.schema(query)
    }

    /// Forgets an entity that was bound under this name.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let name = quote_ident(name);
        // Only one of the two exists; DuckDB refuses to drop the wrong kind even with IF EXISTS.
        if self
            .session
            .try_statement(&format!("DROP VIEW main.{name}"))
            .is_err()
        {
            self.session
                .execute_batch(&format!("DROP TABLE IF EXISTS main.{name}"))?;
        }
        Ok(())
    }
}

/// Returns the span of a query's first word, for faults of the query as a whole.
pub fn first_word(query: &SqlText) -> Span {
    let length = query
        .text
        .find(|c: char| !c.is_alphanumeric())
        .filter(|length| *length > 0)
        .unwrap_or(1);
    query.span.part(0, length)
}

/// Turns a fault of DuckDB into a diagnostic at its place in the query.
pub fn query_fault(fault: SqlFault, query: &SqlText, catalog: &Catalog) -> Diagnostic {
    let span = match fault.place {
        Some((start, length)) => {
            let start = query.text.floor_char_boundary(start);
            let end = query.text.floor_char_boundary(start + length.max(1));
            query.span.part(start, end.max(start))
        }
        None => first_word(query),
    };
    let span = narrowed(span, query, fault.name.as_deref());
    let relation = fault.message.starts_with("table with name");
    let diagnostic = match (&fault.name, relation) {
        (Some(name), true) => {
            let diagnostic = Diagnostic::new(span, format!("relation `{name}` does not exist"));
            return diagnostic.suggest(name, catalog.readable_names());
        }
        _ => Diagnostic::new(span, with_backticks(&fault.message)),
    };
    match &*fault.candidates {
        [] => diagnostic,
        [first, ..] => match &fault.name {
            Some(name) => {
                let near =
                    crate::diagnostic::nearest(name, fault.candidates.iter().map(String::as_str));
                diagnostic.help(format!("did you mean `{}`?", near.unwrap_or(first)))
            }
            None => diagnostic.help(format!("did you mean `{first}`?")),
        },
    }
}

/// Narrows a span that covers a call or a qualified name to the name that was not found.
fn narrowed(span: Span, query: &SqlText, name: Option<&str>) -> Span {
    let start = span.start - query.span.start;
    let text = &query.text[start..span.end - query.span.start];
    match name.and_then(|name| {
        text.to_lowercase()
            .find(&name.to_lowercase())
            .map(|at| (at, name))
    }) {
        Some((at, name)) if text.is_char_boundary(at) && text.is_char_boundary(at + name.len()) => {
            Span {
                start: span.start + at,
                end: span.start + at + name.len(),
                ..span
            }
        }
        _ => span,
    }
}

/// Writes the names that DuckDB puts in double quotes the way all our messages do.
fn with_backticks(message: &str) -> String {
    message.replace('"', "`")
}
