//! Parses `INCLUDE`: columns made of what a message carries beside its rows.
//!
//! The clauses stand between the column list and `WITH`. Their columns belong to the relation like those of
//! the list, after them.

use super::piece::{Cursor, Parse};
use super::statement::{EntityKind, Ident, Include, IncludeWhat, SqlText};
use crate::diagnostic::Diagnostic;

const PARTS: &[&str] = &["KEY", "PARTITION", "OFFSET", "TIMESTAMP", "HEADER"];

/// The types that bytes can be given, in the words of DuckDB and RisingWave.
const TEXTS: &[&str] = &["VARCHAR", "STRING", "TEXT"];
const BLOBS: &[&str] = &["BLOB", "BYTEA", "BINARY", "VARBINARY"];

/// The words that may follow a part without a type.
const AFTER: &[&str] = &["AS", "INCLUDE", "WITH"];

/// What stands before the part's name in the name of a column that is given none.
const NAME_PREFIX: &str = "kafka_";

/// Parses all clauses at the cursor.
pub(super) fn includes(
    cursor: &mut Cursor<'_>,
    kind: EntityKind,
    faults: &mut Vec<Diagnostic>,
) -> Parse<Vec<Include>> {
    let mut includes = Vec::new();
    while cursor.is_word("INCLUDE") {
        let include = include(cursor)?;
        if kind == EntityKind::Lookup {
            let fault = Diagnostic::new(include.span, "`INCLUDE` in a lookup");
            faults.push(fault.help("only messages of a TABLE or SOURCE have such fields"));
        }
        includes.push(include);
    }
    Ok(includes)
}

/// `INCLUDE what ['header'] [VARCHAR|BLOB] [AS name]`.
fn include(cursor: &mut Cursor<'_>) -> Parse<Include> {
    let start = cursor.at;
    cursor.next();
    let word = cursor.keyword();
    let (what, sql_type) = match word.as_str() {
        "KEY" => (IncludeWhat::Key, "VARCHAR"),
        "PARTITION" => (IncludeWhat::Partition, "INTEGER"),
        "OFFSET" => (IncludeWhat::Offset, "BIGINT"),
        "TIMESTAMP" => (IncludeWhat::Timestamp, "TIMESTAMP"),
        "HEADER" => (IncludeWhat::Header(String::new()), "VARCHAR"),
        _ => {
            let expected = "`key`, `partition`, `offset`, `timestamp` or `header '…'`";
            let fault = cursor.unexpected(expected);
            return Err(Box::new(fault.suggest(&word, PARTS.iter().copied())));
        }
    };
    cursor.next();
    let what = match what {
        IncludeWhat::Header(_) => IncludeWhat::Header(header(cursor)?),
        what => what,
    };
    let bytes = matches!(what, IncludeWhat::Key | IncludeWhat::Header(_));
    let blob = bytes && blob(cursor)?;
    let span = cursor.span_of(start, cursor.at);
    let name = match cursor.eat_word("AS") {
        Some(_) => cursor.ident("a column name after `AS`")?,
        None => Ident {
            name: default_name(&what),
            span,
        },
    };
    Ok(Include {
        what,
        name,
        sql_type: SqlText::new(if blob { "BLOB" } else { sql_type }.to_owned(), span),
        span: cursor.span_of(start, cursor.at),
    })
}

fn header(cursor: &mut Cursor<'_>) -> Parse<String> {
    let content = cursor.peek().and_then(|token| token.content(cursor.text()));
    let Some(header) = content else {
        return Err(cursor.unexpected("the header's name in single quotes"));
    };
    cursor.next();
    Ok(header)
}

/// Passes the type of bytes, if one is there, and says whether it leaves them as they are.
fn blob(cursor: &mut Cursor<'_>) -> Parse<bool> {
    let word = cursor.keyword();
    let blob = BLOBS.contains(&word.as_str());
    if blob || TEXTS.contains(&word.as_str()) {
        cursor.next();
    } else if !word.is_empty() && !AFTER.contains(&word.as_str()) {
        let fault = cursor.unexpected("`VARCHAR`, `BLOB`, `AS` or `WITH`");
        return Err(Box::new(fault.help(
            "the bytes of a key or header are taken as they are; convert them in a column `AS (…)`",
        )));
    }
    Ok(blob)
}

/// As RisingWave names them, without its `_rw_`.
fn default_name(what: &IncludeWhat) -> String {
    let part = match what {
        IncludeWhat::Key => "key",
        IncludeWhat::Partition => "partition",
        IncludeWhat::Offset => "offset",
        IncludeWhat::Timestamp => "timestamp",
        IncludeWhat::Header(header) => return format!("{NAME_PREFIX}header_{header}"),
    };
    format!("{NAME_PREFIX}{part}")
}
