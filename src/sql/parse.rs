//! From one statement's tokens to a statement: looks at the first word and calls the parser for it.

use super::command;
use super::create;
use super::piece::{Cursor, Parse, Piece};
use super::statement::{Create, Ident, SqlText, Statement, StatementKind};
use super::token::TokenKind;
use crate::diagnostic::{Diagnostic, Span, list_names};

/// What became of one statement.
#[derive(Default)]
pub(super) struct Outcome {
    /// `None` if there are faults.
    pub statement: Option<Statement>,
    pub faults: Vec<Diagnostic>,
    /// The name that a `CREATE` defines, known also if something after it is faulty.
    pub created: Option<Ident>,
    /// Whether all faults are in the column list, so that the rest can be checked.
    pub rest_is_sound: bool,
    /// Such a statement, as far as it was read.
    pub partial: Option<Create>,
}

/// Parses one statement; `piece` has at least one token. Faults come in the order of their places.
pub(super) fn parse_statement(piece: &Piece<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut cursor = piece.cursor();
    let span = cursor.span_of(0, cursor.stop);
    outcome.faults.extend(nul_character(piece, span));
    match statement_kind(&mut cursor, &mut outcome) {
        Ok(kind) if outcome.faults.is_empty() => {
            outcome.statement = Some(Statement { span, kind });
        }
        Ok(StatementKind::Create(create)) if outcome.rest_is_sound => {
            outcome.partial = Some(*create);
        }
        Ok(_) => {}
        Err(fault) => outcome.faults.push(*fault),
    }
    outcome.faults.sort_by_key(|fault| fault.span.start);
    outcome
}

/// Finds the character that ends a text for the engine, wherever in the statement it stands.
fn nul_character(piece: &Piece<'_>, statement: Span) -> Option<Diagnostic> {
    let at = statement.start + piece.text[statement.start..statement.end].find('\0')?;
    let place = Span {
        start: at,
        end: at + 1,
        ..statement
    };
    let fault = Diagnostic::new(place, "found a NUL character, which no statement can hold");
    Some(fault.help("remove it; is this a text file?"))
}

fn statement_kind(cursor: &mut Cursor<'_>, outcome: &mut Outcome) -> Parse<StatementKind> {
    match cursor.keyword().as_str() {
        "CREATE" => create::create(cursor, outcome),
        "DROP" => command::drop_entity(cursor),
        "SHOW" => command::show(cursor),
        "DESCRIBE" | "DESC" => command::describe(cursor),
        "EXPLAIN" => command::explain(cursor),
        "SET" => command::set(cursor),
        _ if starts_query(cursor) => Ok(StatementKind::Query(query(cursor, "a query")?)),
        word => Err(unknown_statement(cursor, word)),
    }
}

/// The words a query starts with; DuckDB has more query forms than standard SQL.
const QUERY_WORDS: &[&str] = &[
    "SELECT",
    "WITH",
    "FROM",
    "VALUES",
    "TABLE",
    "PIVOT",
    "UNPIVOT",
    "SUMMARIZE",
];

const STATEMENT_WORDS: &[&str] = &[
    "CREATE", "DROP", "SHOW", "DESCRIBE", "EXPLAIN", "SET", "SELECT", "WITH", "FROM", "VALUES",
];

fn starts_query(cursor: &Cursor<'_>) -> bool {
    cursor.is_symbol('(') || QUERY_WORDS.contains(&cursor.keyword().as_str())
}

/// Takes all that is left as a query: it must look like one, and its brackets must match.
pub(super) fn query(cursor: &mut Cursor<'_>, expected: &str) -> Parse<SqlText> {
    if !starts_query(cursor) {
        return Err(cursor.unexpected(expected));
    }
    let rest = cursor.take_rest();
    match rest.unbalanced() {
        Some(fault) => Err(fault),
        None => Ok(rest.raw(rest.at, rest.stop)),
    }
}

fn unknown_statement(cursor: &Cursor<'_>, word: &str) -> Box<Diagnostic> {
    let advice = match word {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY" | "TRUNCATE" => {
            "rows come in through the connector of a TABLE or SOURCE"
        }
        "ALTER" => "`DROP` the entity and `CREATE` it again, or write `CREATE OR REPLACE`",
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "END" => {
            "there are no transactions to open: each batch is one"
        }
        "ATTACH" | "DETACH" | "USE" | "INSTALL" | "LOAD" | "PRAGMA" | "CALL" => {
            "the database is sealed: only connectors reach files, network and extensions"
        }
        _ => "",
    };
    let is_word = matches!(
        cursor.peek().map(|token| token.kind),
        Some(TokenKind::Word | TokenKind::Quoted)
    );
    if !is_word {
        return cursor.unexpected("a statement");
    }
    let known = list_names(STATEMENT_WORDS.iter().copied());
    let fault = Diagnostic::new(
        cursor.here(),
        format!("found {}, expected a statement", cursor.found()),
    );
    if !advice.is_empty() {
        return Box::new(fault.help(advice));
    }
    let fault = fault.suggest(word, STATEMENT_WORDS.iter().copied());
    Box::new(match fault.help {
        Some(_) => fault,
        None => fault.help(format!("statements start with {known}")),
    })
}
