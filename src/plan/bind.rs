//! The binder: a database of empty tables in which every name and type of a pipeline is checked by the
//! engine that will run it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::trigger::TRIGGER_FUNCTIONS;
use crate::catalog::{Catalog, ERRORS};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::syntax::{Query, Read, place_of};
use crate::engine::{Database, Session, SqlFault, is_own_column};
use crate::sql::{SqlText, quote_ident, tokens};

/// The column that every table of the engine has, the number of the row, without declaring it.
const ROW_NUMBER: &str = "rowid";

/// An in-memory database with one empty relation per bound entity.
pub struct Binder {
    session: Session,
    // Keeps the database open; the session is one of its connections.
    database: Arc<Database>,
}

impl Binder {
    /// # Errors
    /// DuckDB cannot be opened at all (out of memory).
    pub fn new() -> anyhow::Result<Self> {
        Self::over(Database::open_empty()?)
    }

    /// Makes a binder in a database that is empty.
    ///
    /// # Errors
    /// As [`Binder::new`].
    pub fn over(database: Database) -> anyhow::Result<Self> {
        let session = database.session()?;
        session.execute_batch(
            "CREATE TABLE main.omlsp_errors (time TIMESTAMP, entity VARCHAR, stage VARCHAR, \
             message VARCHAR, payload VARCHAR)",
        )?;
        Ok(Self {
            session,
            database: Arc::new(database),
        })
    }

    /// Returns a maker of binders over the same relations, for other threads.
    pub fn makes_others(&self) -> impl Fn() -> anyhow::Result<Self> + Send + Sync + use<> {
        let database = Arc::clone(&self.database);
        move || {
            Ok(Self {
                session: database.session()?,
                database: Arc::clone(&database),
            })
        }
    }

    pub fn session(&self) -> &Session {
        &self.session
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
            .map(|(parsed, query)| {
                let mut parsed = parsed.map_err(|fault| query_fault(fault, query, catalog))?;
                // Also what could not be read, so that the query is not blamed for it.
                parsed.keep_known(&|name| {
                    let is_errors = name.eq_ignore_ascii_case(ERRORS);
                    is_errors || catalog.get(name).is_some() || catalog.is_broken(name)
                });
                Ok(parsed)
            })
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

    /// Binds a described query under a name.
    ///
    /// # Errors
    /// The fault, at its place in the user's text.
    pub fn add_query(
        &self,
        catalog: &Catalog,
        name: &str,
        (query, columns): (&SqlText, &[(String, String)]),
    ) -> Result<(), Box<Diagnostic>> {
        // A table of the same columns: a view would be bound again by everything that reads it.
        if self.add_table(name, columns).is_ok() {
            return Ok(());
        }
        // Columns of no type that a table can have.
        let head = format!("CREATE VIEW main.{} AS ", quote_ident(name));
        let sql = format!("{head}{}", query.text);
        self.session
            .try_statement(&sql)
            .map_err(|fault| Box::new(query_fault(fault.moved(head.len()), query, catalog)))
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
        self.check_row_numbers(catalog, query)?;
        let mut seen = HashSet::new();
        for (name, _) in &columns {
            if !seen.insert(name.to_lowercase()) {
                return Err(Box::new(self.two_columns(query, &columns, name)));
            }
        }
        Ok(columns)
    }

    /// Refuses the numbers of rows that the engine's own tables have, and the relations of a pipeline have not.
    ///
    /// # Errors
    /// The fault, at its place in the user's text. A column of that name is none.
    fn check_row_numbers(&self, catalog: &Catalog, query: &SqlText) -> Result<(), Box<Diagnostic>> {
        let tokens = tokens(&query.text);
        let mut named = tokens.iter().filter(|token| {
            let name = token.name(&query.text);
            name.is_some_and(|name| name.eq_ignore_ascii_case(ROW_NUMBER))
        });
        let Some(first) = named.next() else {
            return Ok(());
        };
        let parsed = self.parse(catalog, &[query]).ok();
        let parsed = parsed.and_then(|mut all| all.pop()?.ok());
        let reads = parsed.map(|parsed| parsed.reads).unwrap_or_default();
        let names: BTreeSet<String> = reads.iter().map(|read| read.name.to_lowercase()).collect();
        // As it will run: over queries in the place of the tables.
        let inputs: Vec<String> = (names.iter().map(|name| quote_ident(name)))
            .map(|name| format!("{name} AS NOT MATERIALIZED (SELECT * FROM main.{name})"))
            .collect();
        let head = format!("WITH {} SELECT * FROM (", inputs.join(", "));
        let checked = self.session.check(&format!("{head}{}\n)", query.text));
        let is_named = |fault: &SqlFault| fault.message.to_lowercase().contains(ROW_NUMBER);
        let Some(fault) = checked.err().filter(is_named) else {
            return Ok(());
        };
        let fault = fault.moved(head.len());
        let fault = SqlFault {
            message: format!("column `{ROW_NUMBER}` does not exist"),
            place: fault.place.or(Some((first.start, first.end - first.start))),
            name: Some(ROW_NUMBER.into()),
            help: Some("the rows of a relation have no numbers: name one of its columns".into()),
            ..fault
        };
        Err(Box::new(query_fault(fault, query, catalog)))
    }

    /// Makes the fault for two columns of one name, at their expressions where each column has its own.
    fn two_columns(&self, query: &SqlText, columns: &[(String, String)], name: &str) -> Diagnostic {
        let message = format!("the query gives two columns named `{name}`");
        let help = format!("rename one of them: `… AS {name}_2`");
        match self.places_of(query, columns, name).as_slice() {
            [first, second, ..] => Diagnostic::new(*second, message)
                .also(*first, "the first is here")
                .help(help),
            _ => Diagnostic::new(first_word(query), message).help(help),
        }
    }

    /// Makes the fault for a column of a kept query that has a name of the engine's own, if there is one.
    pub fn own_column(&self, query: &SqlText, columns: &[(String, String)]) -> Option<Diagnostic> {
        let (name, _) = columns.iter().find(|(name, _)| is_own_column(name))?;
        let places = self.places_of(query, columns, name);
        let place = places.first().copied().unwrap_or_else(|| first_word(query));
        Some(own_name(name, place).help("rename it: `… AS another_name`"))
    }

    /// Returns the places of the expressions that give columns of that name, where each column has one of its own.
    fn places_of(&self, query: &SqlText, columns: &[(String, String)], name: &str) -> Vec<Span> {
        let parsed = self.session.parse_one(&query.text).ok();
        let parsed = parsed.and_then(Result::ok);
        let tree = parsed.and_then(|query| query.tree).unwrap_or_default();
        let selected = tree["select_list"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        if selected.len() != columns.len() {
            return Vec::new();
        }
        (columns.iter().zip(selected))
            .filter(|((column, _), _)| column.eq_ignore_ascii_case(name))
            .filter_map(|(_, expression)| place_of(expression))
            .map(|(start, length)| place_in(query, start, length))
            .collect()
    }

    /// Forgets tables that were bound by [`Binder::add_table`].
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn remove_tables<'n>(&self, names: impl Iterator<Item = &'n str>) -> anyhow::Result<()> {
        let drops: Vec<String> = names
            .map(|name| format!("DROP TABLE IF EXISTS main.{}", quote_ident(name)))
            .collect();
        self.session.execute_batch(&drops.join(";\n"))
    }
}

/// Makes the fault for a column that has a name of the engine's own.
pub fn own_name(name: &str, place: Span) -> Diagnostic {
    let message = format!("a column cannot be called `{name}`, which the engine needs for itself");
    Diagnostic::new(place, message)
}

/// Returns the place of some bytes of a query; of the whole of it where it does not stand in the source as
/// it is (a variable was replaced, or the text is ours).
///
/// What was replaced in it has the place of what it stands for.
pub fn place_in(query: &SqlText, start: usize, length: usize) -> Span {
    let written = query.parts.last();
    let written = written.map_or(query.text.len(), |part| part.written.end);
    if query.span.end - query.span.start != written {
        return query.span;
    }
    let boundary = |at: usize| query.text.floor_char_boundary(at);
    let start = boundary(start);
    let end = boundary(start.saturating_add(length)).max(start);
    let after = (query.parts).partition_point(|part| part.start <= start);
    match after.checked_sub(1).map(|at| &query.parts[at]) {
        None => query.span.part(start, end),
        Some(part) if part.verbatim => {
            let start_written = part.written.start + (start - part.start);
            let end_written = (start_written + (end - start)).min(part.written.end);
            query.span.part(start_written, end_written)
        }
        Some(part) => query.span.part(part.written.start, part.written.end),
    }
}

/// Refuses a PIVOT that takes its columns from the rows: here there are none, and later ones would change them.
pub fn open_pivot(query: &SqlText, parsed: &Query) -> Option<Diagnostic> {
    let (start, length) = parsed.open_pivot?;
    let message = "this PIVOT takes its columns from the rows, and those of a relation are fixed";
    let help = "list the values: `ON g IN ('a', 'b')`";
    Some(Diagnostic::new(place_in(query, start, length), message).help(help))
}

/// Returns the span of a query's first word, for faults of the query as a whole.
pub fn first_word(query: &SqlText) -> Span {
    let length = query
        .text
        .find(|c: char| !c.is_alphanumeric())
        .filter(|length| *length > 0)
        .unwrap_or(1);
    place_in(query, 0, length)
}

/// Returns the place where a query names a relation.
pub fn read_place(query: &SqlText, read: &Read) -> Span {
    match read.place {
        Some((start, length)) => {
            // DuckDB's length covers an alias too; the name is its first word.
            let rest = query.text.get(start..).unwrap_or("");
            let quote = usize::from(rest.starts_with('"'));
            let name = rest.get(quote..quote + read.name.len());
            let named = name.is_some_and(|name| name.eq_ignore_ascii_case(&read.name));
            let length = if named {
                read.name.len() + 2 * quote
            } else {
                length
            };
            place_in(query, start, length)
        }
        None => first_word(query),
    }
}

/// Turns a fault of DuckDB into a diagnostic at its place in the query.
pub fn query_fault(fault: SqlFault, query: &SqlText, catalog: &Catalog) -> Diagnostic {
    let span = match fault.place {
        Some(place) => {
            let (start, length) = narrowed(place, query, &fault);
            place_in(query, start, length.max(1))
        }
        None => first_word(query),
    };
    let diagnostic = Diagnostic::new(span, with_backticks(&fault.message));
    let Some(name) = &fault.name else {
        return match fault.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        };
    };
    if fault.message.starts_with("relation `") {
        return diagnostic.suggest(name, catalog.readable_names());
    }
    if TRIGGER_FUNCTIONS.contains(&name.to_lowercase().as_str()) {
        return diagnostic.help("it is for generated columns: `c TIMESTAMP AS (TRIGGER_TIME())`");
    }
    let candidates = || fault.candidates.iter().map(String::as_str);
    let diagnostic = match fault.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic.suggest(name, candidates()),
    };
    let is_column = fault.message.starts_with("column `");
    if diagnostic.help.is_none() && is_column && !fault.candidates.is_empty() {
        let names = crate::diagnostic::list_names(candidates());
        return diagnostic.help(match fault.candidates.len() {
            1 => format!("the nearest name is {names}"),
            _ => format!("the nearest names are {names}"),
        });
    }
    diagnostic
}

/// Narrows a place that covers a call or a qualified name to the name that was not found.
fn narrowed((start, length): (usize, usize), query: &SqlText, fault: &SqlFault) -> (usize, usize) {
    let whole = (start, length);
    let end = start.saturating_add(length).min(query.text.len());
    let (Some(name), Some(text)) = (&fault.name, query.text.get(start..end)) else {
        return whole;
    };
    match text.to_ascii_lowercase().find(&name.to_ascii_lowercase()) {
        Some(at) if fault.message.ends_with("does not exist") => (start + at, name.len()),
        _ => whole,
    }
}

/// Writes the names that DuckDB puts in double quotes the way all our messages do.
fn with_backticks(message: &str) -> String {
    message.replace('"', "`")
}
