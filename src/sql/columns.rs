//! Parses the column list of a TABLE, SOURCE or lookup.
//!
//! Knows what a column list may hold and checks its names against each other; knows no type.

use std::collections::BTreeMap;

use super::piece::{Cursor, Parse};
use super::statement::{Column, EntityKind, Ident, Param, PrimaryKey, SqlText, Watermark};
use super::token::TokenKind;
use crate::diagnostic::{Diagnostic, Span};

/// What a column list holds.
#[derive(Default)]
pub(super) struct ColumnList {
    pub params: Vec<Param>,
    pub columns: Vec<Column>,
    pub primary_key: Option<PrimaryKey>,
    pub watermark: Option<Watermark>,
    /// Whether it is known in spite of its faults which parameters it declares, and whether a watermark.
    pub is_known: bool,
}

/// Parses what is between the parentheses, noting all faults; `span` covers the list. `included` are the
/// names of the columns that `INCLUDE` adds behind it.
pub(super) fn column_list(
    inside: &mut Cursor<'_>,
    (kind, span): (EntityKind, Span),
    included: Vec<Ident>,
    faults: &mut Vec<Diagnostic>,
) -> ColumnList {
    if let Some(fault) = inside.unbalanced() {
        // Where a bracket is open, commas no longer tell the columns apart.
        faults.push(*fault);
        return ColumnList::default();
    }
    let mut parser = Parser {
        kind,
        faults,
        list: ColumnList {
            is_known: true,
            ..ColumnList::default()
        },
        names: Vec::new(),
        param_names: Vec::new(),
    };
    let mut clean = true;
    while !inside.is_end() {
        if inside.is_symbol(',') {
            parser.faults.push(*inside.unexpected("a column"));
            inside.next();
            continue;
        }
        let mut item = inside.clone();
        inside.skip_to_comma();
        item.stop = inside.at;
        if let Err(fault) = parser.item(&mut item) {
            clean = false;
            parser.faults.push(*fault);
        }
        inside.eat_symbol(',');
    }
    if clean && parser.list.columns.is_empty() {
        let fault = Diagnostic::new(span, "the column list declares no column");
        parser
            .faults
            .push(fault.help("write `(name TYPE, …)`, such as `(id BIGINT, name VARCHAR)`"));
    }
    parser.names.extend(included);
    parser.check_names();
    parser.list
}

/// Makes the fault for a second definition of a name.
fn duplicate(what: &str, name: &Ident, first: Span) -> Diagnostic {
    let sigil = if what == "parameter" { "$" } else { "" };
    let message = format!("{what} `{sigil}{}` is defined twice", name.name);
    Diagnostic::new(name.span, message).also(first, "first defined here")
}

struct Parser<'f> {
    kind: EntityKind,
    faults: &'f mut Vec<Diagnostic>,
    list: ColumnList,
    /// The names of all columns, those with a fault included.
    names: Vec<Ident>,
    param_names: Vec<Ident>,
}

impl Parser<'_> {
    fn item(&mut self, item: &mut Cursor<'_>) -> Parse<()> {
        let opens_after = |ahead| {
            item.peek_at(ahead)
                .is_some_and(|token| token.is_symbol('('))
        };
        if item.peek().map(|token| token.kind) == Some(TokenKind::Param) {
            return self.param(item);
        }
        if item.is_words(&["PRIMARY", "KEY"]) {
            return self.primary_key(item);
        }
        if item.is_words(&["WATERMARK", "FOR"]) {
            let read = self.watermark(item);
            self.list.is_known &= read.is_ok();
            return read;
        }
        let constraint = match item.keyword().as_str() {
            "UNIQUE" | "CHECK" => opens_after(1),
            "FOREIGN" => item.is_word_at(1, "KEY"),
            "CONSTRAINT" => item.peek_at(2).is_some(),
            _ => false,
        };
        if constraint {
            let message = format!("`{}` constraints are not known", item.keyword());
            let fault = Diagnostic::new(item.here(), message);
            return Err(Box::new(
                fault.help("the only table constraint is `PRIMARY KEY (column, …)`"),
            ));
        }
        self.column(item)
    }

    /// `$param TYPE`.
    fn param(&mut self, item: &mut Cursor<'_>) -> Parse<()> {
        let span = item.here();
        let token = item.next();
        let name = token.and_then(|token| token.param(item.text()));
        let name = Ident {
            name: name.unwrap_or_default().to_owned(),
            span,
        };
        if self.kind != EntityKind::Lookup {
            self.list.is_known = false;
            let message = format!(
                "found parameter `${}` in a {}",
                name.name,
                self.kind.words()
            );
            let fault = Diagnostic::new(span, message);
            return Err(Box::new(fault.help(
                "only a lookup has parameters: `CREATE TEMPORARY TABLE`; a column has no `$`",
            )));
        }
        if name.name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = "found a numbered parameter, expected a name after `$`";
            return Err(Box::new(Diagnostic::new(span, message)));
        }
        self.param_names.push(name.clone());
        let what = format!("parameter `${}`", name.name);
        let read = sql_type(item, &what, span).and_then(|sql_type| {
            if item.is_end() {
                return Ok(sql_type);
            }
            let fault = item.unexpected("`,`");
            Err(Box::new(fault.help(
                "a parameter has a name and a type, and is never NULL",
            )))
        });
        // With some type, so that the options can name it.
        let (sql_type, fault) = match read {
            Ok(sql_type) => (sql_type, None),
            Err(fault) => (SqlText::new("VARCHAR".to_owned(), span), Some(fault)),
        };
        self.list.params.push(Param { name, sql_type });
        fault.map_or(Ok(()), Err)
    }

    /// `name TYPE [AS (expression)] [NOT NULL] [PRIMARY KEY]`.
    fn column(&mut self, item: &mut Cursor<'_>) -> Parse<()> {
        let name = item.ident("the name of a column")?;
        self.names.push(name.clone());
        let sql_type = sql_type(item, &format!("column `{}`", name.name), name.span)?;
        let mut column = Column {
            name,
            sql_type,
            generated: None,
            not_null: false,
        };
        let mut key = None;
        while !item.is_end() {
            match item.keyword().as_str() {
                "AS" if column.generated.is_none() => {
                    column.generated = Some(generated(item, &column.name)?);
                }
                "NOT" => {
                    item.next();
                    item.expect_word("NULL", "`NULL` after `NOT`")?;
                    column.not_null = true;
                }
                // The word says what holds anyway.
                "NULL" if !column.not_null => item.at += 1,
                "PRIMARY" if key.is_none() => {
                    let start = item.at;
                    item.next();
                    item.expect_word("KEY", "`KEY` after `PRIMARY`")?;
                    key = Some(item.span_of(start, item.at));
                }
                _ => return Err(after_type(item)),
            }
        }
        if let Some(span) = key {
            let columns = vec![column.name.clone()];
            self.set_primary_key(PrimaryKey { columns, span });
        }
        self.list.columns.push(column);
        Ok(())
    }

    /// `PRIMARY KEY (column, …)`.
    fn primary_key(&mut self, item: &mut Cursor<'_>) -> Parse<()> {
        let start = item.at;
        item.at += 2;
        let mut inside = item.group("`(` and the key columns after `PRIMARY KEY`")?;
        let span = item.span_of(start, item.at);
        item.expect_end("`,`")?;
        if inside.is_end() {
            let fault = Diagnostic::new(span, "the primary key names no column");
            return Err(Box::new(fault.help("write `PRIMARY KEY (column, …)`")));
        }
        let mut columns: Vec<Ident> = Vec::new();
        while !inside.is_end() {
            let column = inside.ident("a column of the primary key")?;
            match columns.iter().find(|other| other.key() == column.key()) {
                Some(first) => {
                    let message = format!("the primary key names `{}` twice", column.name);
                    let fault = Diagnostic::new(column.span, message);
                    self.faults.push(fault.also(first.span, "first named here"));
                }
                None => columns.push(column),
            }
            if !inside.is_end() && inside.eat_symbol(',').is_none() {
                return Err(inside.unexpected("`,` or `)`"));
            }
        }
        self.set_primary_key(PrimaryKey { columns, span });
        Ok(())
    }

    fn set_primary_key(&mut self, key: PrimaryKey) {
        if self.kind != EntityKind::Table {
            let words = self.kind.words();
            let message = format!("found a primary key in a {words}, which keeps no rows");
            let fault = Diagnostic::new(key.span, message);
            self.faults
                .push(fault.help("only a `CREATE TABLE` keeps the latest row per key"));
            return;
        }
        if let Some(first) = &self.list.primary_key {
            let fault = Diagnostic::new(key.span, "the table has two primary keys")
                .also(first.span, "the first is here")
                .help("a key of several columns is written `PRIMARY KEY (a, b)`");
            self.faults.push(fault);
            return;
        }
        self.list.primary_key = Some(key);
    }

    /// `WATERMARK FOR column AS expression`.
    fn watermark(&mut self, item: &mut Cursor<'_>) -> Parse<()> {
        let start = item.at;
        item.at += 2;
        let words = item.span_of(start, item.at);
        if self.kind == EntityKind::Lookup {
            let fault = Diagnostic::new(words, "found a watermark in a lookup");
            return Err(Box::new(
                fault.help("only a TABLE or SOURCE receives rows over time"),
            ));
        }
        let column = item.ident("the column of the watermark")?;
        item.expect_word("AS", "`AS` and the expression of the watermark")?;
        if item.is_end() {
            let expected = "an expression such as `ts - INTERVAL '5' SECOND`";
            return Err(item.unexpected(expected));
        }
        let expression = item.raw(item.at, item.stop);
        if let Some(first) = &self.list.watermark {
            let fault = Diagnostic::new(words, "the list has two watermarks");
            return Err(Box::new(
                fault.also(first.column.span, "the first is for this"),
            ));
        }
        self.list.watermark = Some(Watermark { column, expression });
        Ok(())
    }

    /// Notes names that are defined twice, and those of the key and the watermark that are not defined.
    fn check_names(&mut self) {
        for (what, names) in [("column", &self.names), ("parameter", &self.param_names)] {
            let mut first: BTreeMap<String, Span> = BTreeMap::new();
            for name in names {
                match first.get(&name.key()) {
                    Some(place) => self.faults.push(duplicate(what, name, *place)),
                    None => {
                        first.insert(name.key(), name.span);
                    }
                }
            }
        }
        let key = self.list.primary_key.iter().flat_map(|key| &key.columns);
        let watermark = self
            .list
            .watermark
            .iter()
            .map(|watermark| &watermark.column);
        let used = key
            .map(|name| ("the primary key", name))
            .chain(watermark.map(|name| ("the watermark", name)));
        let known: std::collections::BTreeSet<String> = self.names.iter().map(Ident::key).collect();
        for (who, name) in used {
            if known.contains(&name.key()) {
                continue;
            }
            let message = format!("{who} names `{}`, which is no column", name.name);
            let names = self.names.iter().map(|column| column.name.as_str());
            self.faults
                .push(Diagnostic::new(name.span, message).suggest(&name.name, names));
        }
    }
}

/// The words that end a type.
const AFTER_TYPE: &[&str] = &[
    "AS",
    "NOT",
    "NULL",
    "PRIMARY",
    "DEFAULT",
    "GENERATED",
    "UNIQUE",
    "CHECK",
    "REFERENCES",
    "COLLATE",
    "COMMENT",
    "CONSTRAINT",
];

/// The words that go on a type of several words: `DOUBLE PRECISION`, `TIMESTAMP WITH TIME ZONE`,
/// `CHARACTER VARYING`, `INTERVAL YEAR TO MONTH`, `INT ARRAY`.
const IN_TYPE: &[&str] = &[
    "PRECISION",
    "VARYING",
    "WITH",
    "WITHOUT",
    "LOCAL",
    "TIME",
    "ZONE",
    "ARRAY",
    "TO",
    "YEAR",
    "MONTH",
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "CHARACTER",
    "CHAR",
];

/// Takes a type: words, parentheses and brackets, up to what cannot be part of one.
fn sql_type(item: &mut Cursor<'_>, of: &str, name: Span) -> Parse<SqlText> {
    if item.is_end() || AFTER_TYPE.contains(&item.keyword().as_str()) {
        let fault = Diagnostic::new(name, format!("{of} has no type"));
        return Err(Box::new(if item.is_word("AS") {
            fault.help("a generated column has a type too: `name TYPE AS (expression)`")
        } else {
            fault.help("write `name TYPE`, such as `price DOUBLE`")
        }));
    }
    let start = item.at;
    let starts_type = item
        .peek()
        .is_some_and(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted));
    if !starts_type {
        return Err(item.unexpected(&format!("the type of {of}")));
    }
    item.next();
    while let Some(token) = item.peek() {
        let word = item.keyword();
        match token.kind {
            TokenKind::Symbol('(' | '[') => item.skip_tree(),
            TokenKind::Word if AFTER_TYPE.contains(&word.as_str()) => break,
            TokenKind::Word if word == "WITH" && !item.is_word_at(1, "TIME") => {
                return Err(item.unexpected("`,` or `)` before it"));
            }
            TokenKind::Word if IN_TYPE.contains(&word.as_str()) => item.at += 1,
            TokenKind::Symbol('<') => {
                let fault = item.unexpected(&format!("the rest of the type of {of}"));
                return Err(Box::new(fault.help(
                    "types take their parts in parentheses: `STRUCT(a INT)`; a list is `INT[]`",
                )));
            }
            _ => return Err(after_type(item)),
        }
    }
    Ok(item.raw(start, item.at))
}

/// Makes the fault for what cannot follow a column's type.
fn after_type(item: &Cursor<'_>) -> Box<Diagnostic> {
    let help = match item.keyword().as_str() {
        "DEFAULT" => "there are no defaults: use `coalesce(…)` where the column is read",
        "GENERATED" => "a generated column is written `name TYPE AS (expression)`",
        "NULL" => "the column is `NOT NULL` already",
        "UNIQUE" | "CHECK" | "REFERENCES" | "CONSTRAINT" => {
            "the only constraints are `NOT NULL` and `PRIMARY KEY`"
        }
        "COLLATE" | "COMMENT" => "leave it out",
        "AS" | "PRIMARY" => "it is there already",
        _ => "columns are separated by commas",
    };
    let expected = if help.starts_with("columns") {
        "`,` before it"
    } else {
        "`,`"
    };
    Box::new(item.unexpected(expected).help(help))
}

/// `AS (expression)`.
fn generated(item: &mut Cursor<'_>, name: &Ident) -> Parse<SqlText> {
    item.next();
    if !item.is_symbol('(') {
        let fault = item.unexpected("`(` after `AS`");
        return Err(Box::new(fault.help(format!(
            "the expression is in parentheses: `{} TYPE AS (expression)`",
            name.name
        ))));
    }
    let open = item.at;
    let inside = item.group("`(`")?;
    if inside.is_end() {
        let message = format!("column `{}` is generated from nothing", name.name);
        let fault = Diagnostic::new(item.span_of(open, item.at), message);
        return Err(Box::new(
            fault.help("write an expression in the parentheses"),
        ));
    }
    Ok(inside.raw(inside.at, inside.stop))
}
