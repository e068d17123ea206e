//! Parses the statements that define nothing: DROP, SHOW, DESCRIBE, EXPLAIN, SET.

use super::parse::query;
use super::piece::{Cursor, Parse};
use super::statement::{DropEntity, EntityKind, ShowWhat, StatementKind};
use super::token::TokenKind;
use super::with::{key, value};
use crate::diagnostic::{Diagnostic, list_names};

const END: &str = "the end of the statement";

/// The words for kinds of entities, for suggestions.
pub(super) const KIND_WORDS: &[&str] = &[
    "TABLE",
    "SOURCE",
    "VIEW",
    "MATERIALIZED VIEW",
    "SINK",
    "SECRET",
];

const SHOW_WORDS: &[(&str, ShowWhat)] = &[
    ("TABLES", ShowWhat::Tables),
    ("SOURCES", ShowWhat::Sources),
    ("VIEWS", ShowWhat::Views),
    ("MATERIALIZED VIEWS", ShowWhat::MaterializedViews),
    ("SINKS", ShowWhat::Sinks),
    ("SECRETS", ShowWhat::Secrets),
    ("LOOKUPS", ShowWhat::Lookups),
    ("ERRORS", ShowWhat::Errors),
];

/// Takes the words for a kind of entity; `None`, and nothing taken, if there is none.
pub(super) fn entity_kind(cursor: &mut Cursor<'_>) -> Parse<Option<EntityKind>> {
    let kind = match cursor.keyword().as_str() {
        "TABLE" => EntityKind::Table,
        "SOURCE" => EntityKind::Source,
        "VIEW" => EntityKind::View,
        "SINK" => EntityKind::Sink,
        "SECRET" => EntityKind::Secret,
        "MATERIALIZED" => {
            cursor.next();
            cursor.expect_word("VIEW", "`VIEW` after `MATERIALIZED`")?;
            return Ok(Some(EntityKind::MaterializedView));
        }
        "TEMP" | "TEMPORARY" => {
            cursor.next();
            cursor.expect_word("TABLE", "`TABLE`: only a table can be temporary")?;
            return Ok(Some(EntityKind::Lookup));
        }
        _ => return Ok(None),
    };
    cursor.next();
    Ok(Some(kind))
}

/// Makes the fault for a word that is no kind of entity.
pub(super) fn unknown_kind(cursor: &Cursor<'_>, after: &str) -> Box<Diagnostic> {
    let word = cursor.keyword();
    let fault = *cursor.unexpected(&format!("a kind of entity after `{after}`"));
    let fault = if word == "LOOKUP" {
        fault.help("a lookup is a `TEMPORARY TABLE`")
    } else {
        fault.suggest(&word, KIND_WORDS.iter().copied())
    };
    Box::new(match fault.help {
        Some(_) => fault,
        None => fault.help(format!(
            "the kinds are {}",
            list_names(KIND_WORDS.iter().copied())
        )),
    })
}

/// `DROP kind [IF EXISTS] [CASCADE] name [CASCADE]`.
pub(super) fn drop_entity(cursor: &mut Cursor<'_>) -> Parse<StatementKind> {
    cursor.next();
    let Some(kind) = entity_kind(cursor)? else {
        return Err(unknown_kind(cursor, "DROP"));
    };
    let words = kind.words();
    let mut if_exists = eat_if_exists(cursor)?;
    let mut cascade = cursor.eat_word("CASCADE").is_some();
    if cascade && !if_exists {
        if_exists = eat_if_exists(cursor)?;
    }
    let name = cursor.entity_name(&format!("the name of the {words} to drop"))?;
    cascade |= cursor.eat_word("CASCADE").is_some();
    if cursor.is_word("RESTRICT") {
        let fault = cursor.unexpected(END);
        return Err(Box::new(fault.help(
            "leave it out: without `CASCADE`, a DROP of something others need is refused",
        )));
    }
    if cursor.is_symbol(',') {
        let fault = cursor.unexpected(END);
        return Err(Box::new(
            fault.help("drop one entity a statement, or use `CASCADE`"),
        ));
    }
    cursor.expect_end(if cascade {
        END
    } else {
        "`CASCADE` or the end of the statement"
    })?;
    Ok(StatementKind::Drop(DropEntity {
        kind,
        name,
        if_exists,
        cascade,
    }))
}

fn eat_if_exists(cursor: &mut Cursor<'_>) -> Parse<bool> {
    if !cursor.is_word("IF") {
        return Ok(false);
    }
    cursor.next();
    cursor.expect_word("EXISTS", "`EXISTS` after `IF`")?;
    Ok(true)
}

/// `SHOW what`, `SHOW CREATE [kind] name`.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Parse<StatementKind> {
    cursor.next();
    if cursor.eat_word("CREATE").is_some() {
        let kind = entity_kind(cursor)?;
        let expected = match kind {
            Some(kind) => format!("the name of a {}", kind.words()),
            None => "a kind of entity and a name".to_owned(),
        };
        let name = cursor.entity_name(&expected)?;
        if kind.is_none() && !cursor.is_end() {
            cursor.at -= 1;
            return Err(unknown_kind(cursor, "SHOW CREATE"));
        }
        cursor.expect_end(END)?;
        return Ok(StatementKind::ShowCreate { kind, name });
    }
    let start = cursor.at;
    let mut words = cursor.keyword();
    if cursor.is_word("MATERIALIZED") {
        cursor.next();
        if !cursor.is_word("VIEWS") {
            return Err(cursor.unexpected("`VIEWS` after `MATERIALIZED`"));
        }
        words.push_str(" VIEWS");
    }
    let Some((_, what)) = SHOW_WORDS.iter().find(|(name, _)| *name == words) else {
        let names = || SHOW_WORDS.iter().map(|(name, _)| *name);
        let fault = cursor.unexpected("what to show").suggest(&words, names());
        return Err(Box::new(match fault.help {
            Some(_) => fault,
            None => fault.help(format!("there are {}", list_names(names()))),
        }));
    };
    cursor.next();
    let span = cursor.span_of(start, cursor.at);
    cursor.expect_end(END)?;
    Ok(StatementKind::Show { what: *what, span })
}

/// `DESCRIBE name`.
pub(super) fn describe(cursor: &mut Cursor<'_>) -> Parse<StatementKind> {
    cursor.next();
    let mut kind = cursor.clone();
    if let Ok(Some(kind)) = entity_kind(&mut kind)
        && cursor.peek_at(1).is_some()
    {
        let fault = cursor.unexpected("a name");
        return Err(Box::new(fault.help(format!(
            "leave out `{}`: names are unique over all kinds",
            kind.words()
        ))));
    }
    let name = cursor.entity_name("the name of the entity to describe")?;
    cursor.expect_end(END)?;
    Ok(StatementKind::Describe(name))
}

/// `EXPLAIN query`.
pub(super) fn explain(cursor: &mut Cursor<'_>) -> Parse<StatementKind> {
    cursor.next();
    let named = matches!(
        cursor.peek().map(|token| token.kind),
        Some(TokenKind::Word | TokenKind::Quoted)
    ) && cursor.peek_at(1).is_none();
    let found = cursor.found();
    query(cursor, "a query after `EXPLAIN`")
        .map(StatementKind::Explain)
        .map_err(|fault| {
            if named {
                let name = found.trim_matches('`');
                Box::new(fault.help(format!("write `EXPLAIN SELECT * FROM {name}`")))
            } else {
                fault
            }
        })
}

/// `SET name = value`, `SET name TO value`.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Parse<StatementKind> {
    cursor.next();
    let name = key(cursor, "the name of a setting")?;
    if cursor.eat_word("TO").is_none() && cursor.eat_symbol('=').is_none() {
        let message = format!("setting `{}` has no `=`", name.name);
        let fault = Diagnostic::new(cursor.here(), message).label("expected `=` before this");
        return Err(Box::new(fault));
    }
    let value = value(cursor, &name)?;
    cursor.expect_end(END)?;
    Ok(StatementKind::Set { name, value })
}
