//! Parses the CREATE statements; column lists and option lists have their own files.

use super::columns::{ColumnList, column_list};
use super::command::{entity_kind, unknown_kind};
use super::include::includes;
use super::parse::{Outcome, query};
use super::piece::{Cursor, Parse};
use super::statement::{
    Create, Definition, EntityKind, Ident, OptionValue, OptionValueKind, Relation, SinkInput,
    SqlText, StatementKind,
};
use super::token::TokenKind;
use super::with::option_list;
use crate::diagnostic::{Diagnostic, Span};

const END: &str = "the end of the statement";

const EMIT: [&str; 4] = ["EMIT", "ON", "WINDOW", "CLOSE"];

/// `CREATE [OR REPLACE] kind [IF NOT EXISTS] name …`.
pub(super) fn create(cursor: &mut Cursor<'_>, outcome: &mut Outcome) -> Parse<StatementKind> {
    cursor.next();
    let or_replace = eat_words(cursor, &["OR", "REPLACE"])?;
    let Some(kind) = entity_kind(cursor)? else {
        return Err(unknown_kind(cursor, "CREATE"));
    };
    let if_not_exists = eat_words(cursor, &["IF", "NOT", "EXISTS"])?;
    if let (Some(first), Some(second)) = (or_replace, if_not_exists) {
        let message = "`OR REPLACE` and `IF NOT EXISTS` exclude each other";
        let fault = Diagnostic::new(second, message).also(first, "the other one is here");
        outcome.faults.push(fault.help("keep one of them"));
    }
    let name = cursor.entity_name(&format!("a name for the {}", kind.words()))?;
    outcome.created = Some(name.clone());
    let definition = match kind {
        EntityKind::Table | EntityKind::Source | EntityKind::Lookup => {
            let relation = relation(cursor, kind, &name, outcome)?;
            match kind {
                EntityKind::Table => Definition::Table(relation),
                EntityKind::Source => Definition::Source(relation),
                _ => Definition::Lookup(relation),
            }
        }
        EntityKind::View | EntityKind::MaterializedView => view(cursor, kind, outcome)?,
        EntityKind::Sink => sink(cursor, &name, outcome)?,
        EntityKind::Secret => secret(cursor, &name, outcome)?,
    };
    Ok(StatementKind::Create(Box::new(Create {
        name,
        or_replace: or_replace.is_some(),
        if_not_exists: if_not_exists.is_some(),
        definition,
    })))
}

/// Takes all of the words if the first of them is there, and returns their place.
fn eat_words(cursor: &mut Cursor<'_>, words: &[&str]) -> Parse<Option<Span>> {
    if !cursor.is_word(words[0]) {
        return Ok(None);
    }
    let start = cursor.at;
    cursor.next();
    for pair in words.windows(2) {
        cursor.expect_word(pair[1], &format!("`{}` after `{}`", pair[1], pair[0]))?;
    }
    Ok(Some(cursor.span_of(start, cursor.at)))
}

fn relation(
    cursor: &mut Cursor<'_>,
    kind: EntityKind,
    name: &Ident,
    outcome: &mut Outcome,
) -> Parse<Relation> {
    expect_columns(cursor, kind, name)?;
    let start = cursor.at;
    let faults_before_columns = outcome.faults.len();
    let mut inside = columns_inside(cursor, outcome)?;
    let is_closed = outcome.faults.len() == faults_before_columns;
    let columns_span = cursor.span_of(start, cursor.at);
    let faults_before = outcome.faults.len();
    let with_inside = with_position(&inside).is_some();
    // Read first, since the key of the list may name their columns.
    let includes = includes(cursor, kind, &mut outcome.faults);
    let included = includes
        .iter()
        .flatten()
        .map(|include| include.name.clone());
    let ColumnList {
        params,
        columns,
        primary_key,
        watermark,
        is_known,
    } = column_list(
        &mut inside,
        (kind, columns_span),
        included.collect(),
        &mut outcome.faults,
    );
    let includes = includes?;
    let faults_in_columns = outcome.faults.len();
    let options = option_list(cursor, &mut outcome.faults)?;
    outcome.rest_is_sound =
        is_closed && is_known && options.present && outcome.faults.len() == faults_in_columns;
    if !options.present && cursor.is_end() && !(with_inside && outcome.faults.len() > faults_before)
    {
        outcome.faults.push(no_options(kind, name));
    }
    if cursor.is_word("FORMAT") || cursor.is_word("ENCODE") {
        let fault = cursor.unexpected(END);
        return Err(Box::new(
            fault.help("the encoding is an option: `encode = 'json'`"),
        ));
    }
    cursor.expect_end(if options.present {
        END
    } else {
        "`WITH` and the options"
    })?;
    Ok(Relation {
        params,
        columns,
        primary_key,
        watermark,
        includes,
        options,
        columns_span,
    })
}

/// Makes sure that a column list begins here.
fn expect_columns(cursor: &Cursor<'_>, kind: EntityKind, name: &Ident) -> Parse<()> {
    if cursor.is_word("AS") {
        let fault = cursor.unexpected("a column list");
        return Err(Box::new(fault.help(
            "what a query gives is kept by a view: `CREATE MATERIALIZED VIEW … AS …`",
        )));
    }
    if !cursor.is_symbol('(') {
        let fault = cursor.unexpected("a column list");
        return Err(Box::new(fault.help(format!(
            "a {} declares its columns: `{} (column TYPE, …)`",
            kind.words(),
            name.name
        ))));
    }
    Ok(())
}

fn no_options(kind: EntityKind, name: &Ident) -> Diagnostic {
    let message = format!("{} `{}` has no options", kind.words(), name.name);
    Diagnostic::new(name.span, message).help("end the statement with `WITH (connector = '…', …)`")
}

/// Takes the column list's parentheses. If they do not close before the options, the fault is noted and
/// the list ends there.
fn columns_inside<'a>(cursor: &mut Cursor<'a>, outcome: &mut Outcome) -> Parse<Cursor<'a>> {
    let closes = cursor.partner().is_some();
    let rest = Cursor {
        at: cursor.at + 1,
        ..cursor.clone()
    };
    let with = match with_position(&rest) {
        Some(with) if !closes => with,
        _ => return cursor.group("a column list"),
    };
    let open = cursor.here();
    cursor.at = with;
    let fault = *cursor.unexpected("`)` before it");
    outcome
        .faults
        .push(fault.also(open, "this `(` is not closed"));
    Ok(Cursor { stop: with, ..rest })
}

/// Returns the index of the last `WITH (` outside of brackets.
fn with_position(cursor: &Cursor<'_>) -> Option<usize> {
    let mut ahead = cursor.clone();
    let mut found = None;
    while !ahead.is_end() {
        if ahead.is_word("WITH") && ahead.peek_at(1).is_some_and(|next| next.is_symbol('(')) {
            found = Some(ahead.at);
        }
        ahead.skip_tree();
    }
    found
}

/// `CREATE [MATERIALIZED] VIEW name AS query [EMIT ON WINDOW CLOSE]`.
fn view(cursor: &mut Cursor<'_>, kind: EntityKind, outcome: &mut Outcome) -> Parse<Definition> {
    let words = kind.words();
    if cursor.eat_word("AS").is_none() {
        let fault = cursor.unexpected(&format!("`AS` and the query of the {words}"));
        return Err(if cursor.is_symbol('(') {
            Box::new(fault.help("name the columns in the query: `SELECT a AS b`"))
        } else if cursor.is_word("WITH") {
            Box::new(fault.help("a view has no options"))
        } else {
            fault
        });
    }
    let (query, emit_on_window_close) = query_and_emit(cursor, "a query after `AS`")?;
    if kind == EntityKind::MaterializedView {
        return Ok(Definition::MaterializedView {
            query,
            emit_on_window_close,
        });
    }
    if let Some(span) = emit_on_window_close {
        let message = "`EMIT ON WINDOW CLOSE` in a VIEW, which keeps nothing to emit";
        outcome
            .faults
            .push(Diagnostic::new(span, message).help("use a MATERIALIZED VIEW"));
    }
    Ok(Definition::View { query })
}

/// Takes all that is left as a query, with `EMIT ON WINDOW CLOSE` at its end if it is there.
fn query_and_emit(cursor: &mut Cursor<'_>, expected: &str) -> Parse<(SqlText, Option<Span>)> {
    let mut body = cursor.take_rest();
    if let Some(cut_short) = emit_tail(&body, 3) {
        let end = Cursor {
            at: cut_short.stop,
            ..cut_short
        };
        return Err(end.unexpected("`CLOSE` after `EMIT ON WINDOW`"));
    }
    let emit = emit_tail(&body, 4).map(|emit| {
        body.stop = emit.at;
        emit.span_of(emit.at, emit.stop)
    });
    Ok((query(&mut body, expected)?, emit))
}

/// Returns the last `count` tokens if they are so many words of `EMIT ON WINDOW CLOSE`.
fn emit_tail<'a>(body: &Cursor<'a>, count: usize) -> Option<Cursor<'a>> {
    let from = (body.stop.checked_sub(count)).filter(|from| *from > body.at)?;
    let tail = Cursor {
        at: from,
        ..body.clone()
    };
    tail.is_words(&EMIT[..count]).then_some(tail)
}

/// `CREATE SINK name FROM relation | FROM (query) | AS query  WITH (…)`.
fn sink(cursor: &mut Cursor<'_>, name: &Ident, outcome: &mut Outcome) -> Parse<Definition> {
    let mut emit_on_window_close = None;
    let input = if cursor.eat_word("FROM").is_some() {
        if cursor.is_symbol('(') {
            let mut inside = cursor.group("a query")?;
            let (query, emit) = query_and_emit(&mut inside, "a query in the parentheses")?;
            emit_on_window_close = emit;
            if emit.is_none() {
                emit_on_window_close = eat_words(cursor, &EMIT)?;
            }
            SinkInput::Query(query)
        } else {
            sink_relation(cursor)?
        }
    } else if cursor.eat_word("AS").is_some() {
        let mut body = cursor.clone();
        body.stop = with_position(cursor).unwrap_or(cursor.stop);
        cursor.at = body.stop;
        let (query, emit) = query_and_emit(&mut body, "a query after `AS`")?;
        emit_on_window_close = emit;
        SinkInput::Query(query)
    } else {
        return Err(cursor.unexpected("`FROM relation`, `FROM (query)` or `AS query`"));
    };
    let options = option_list(cursor, &mut outcome.faults)?;
    if !options.present && cursor.is_end() {
        outcome.faults.push(no_options(EntityKind::Sink, name));
    }
    cursor.expect_end(if options.present {
        END
    } else {
        "`WITH` and the options"
    })?;
    Ok(Definition::Sink {
        input,
        options,
        emit_on_window_close,
    })
}

fn sink_relation(cursor: &mut Cursor<'_>) -> Parse<SinkInput> {
    let with_help = |fault: Box<Diagnostic>| {
        Box::new(fault.help("a query is written `FROM (SELECT …)` or `AS SELECT …`"))
    };
    if cursor.is_word("SELECT") || cursor.is_word("WITH") {
        return Err(with_help(cursor.unexpected("the name of a relation")));
    }
    let relation = cursor.entity_name("the name of a relation")?;
    if !cursor.is_end() && !cursor.is_word("WITH") {
        return Err(with_help(cursor.unexpected("`WITH` and the options")));
    }
    Ok(SinkInput::Relation(relation))
}

/// `CREATE SECRET name WITH (…) AS 'value'`. No message repeats what may be the value.
fn secret(cursor: &mut Cursor<'_>, name: &Ident, outcome: &mut Outcome) -> Parse<Definition> {
    let form = "write `CREATE SECRET name WITH (backend = 'meta') AS '…'`";
    let options = option_list(cursor, &mut outcome.faults)?;
    if !options.present {
        let message = format!("SECRET `{}` has no backend", name.name);
        let fault = Diagnostic::new(name.span, message);
        return Err(Box::new(fault.help(form)));
    }
    if cursor.eat_word("AS").is_none() {
        let message = "expected `AS` and the value of the secret in single quotes";
        let fault = Diagnostic::new(cursor.here(), message);
        return Err(Box::new(fault.help(form)));
    }
    let text = cursor
        .peek()
        .and_then(|token| Some((token, token.content(cursor.text())?)));
    let Some((token, text)) = text else {
        let mut fault = Diagnostic::new(
            cursor.here(),
            "the value of a secret must be in single quotes",
        );
        if cursor.peek().map(|token| token.kind) == Some(TokenKind::Quoted) {
            fault = fault.help("double quotes are for names");
        }
        return Err(Box::new(fault));
    };
    cursor.next();
    if !cursor.is_end() {
        let message = "found more after the value of the secret";
        let fault = Diagnostic::new(cursor.here(), message);
        return Err(Box::new(
            fault.help("a quote inside the value is written twice: `''`"),
        ));
    }
    Ok(Definition::Secret {
        options,
        value: OptionValue {
            kind: OptionValueKind::Text(text),
            span: cursor.span(token),
        },
    })
}
