//! Queries as DuckDB's own parser sees them: which relations one reads, and its tree.
//!
//! The tree is what `json_serialize_sql` gives, so there is no second SQL grammar that could disagree
//! with the one that runs the query. A statement it cannot give a tree for (a `PIVOT` without a list of values, a
//! very deep one) but DuckDB can run is still legal: it is known by its relations' names only.

use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;

use super::windows::{self, Rewritten};
use super::{Session, SqlFault, pivot};
use crate::batch::RecordBatch;
use crate::batch::array::{ArrayRef, StringArray};
use crate::sql::{SqlText, Token, TokenKind, quote_ident, tokens};

/// How deep a tree may be: a sum of four hundred terms is eight hundred levels. Whoever walks a tree does it
/// by recursion, on threads with two megabytes of stack.
const TREE_DEPTH_MAX: usize = 1_000;

/// Words that a value comes after.
const BEFORE_VALUES: [&str; 12] = [
    "SELECT", "DISTINCT", "ALL", "WHERE", "HAVING", "ON", "BY", "AND", "OR", "NOT", "WHEN", "THEN",
];

/// The table functions that take a relation's name or a query as a text, or as a name that no tree tells as one.
const HIDING: [&str; 7] = [
    "query",
    "query_table",
    "json_execute_serialized_sql",
    HISTOGRAM,
    "histogram_values",
    "duckdb_table_sample",
    "pragma_storage_info",
];

/// An aggregate too, of a column.
const HISTOGRAM: &str = "histogram";

/// A parsed query.
#[derive(Clone, Debug)]
pub struct Query {
    /// The query with its window functions replaced, if it has any; the tree and all places are then those
    /// of this text.
    pub rewritten: Option<Rewritten>,
    /// The query node, as DuckDB writes it; `None` where it can write none.
    pub tree: Option<Value>,
    /// Every mention of a relation that is not one of the query's own CTEs, in order.
    pub reads: Vec<Read>,
    /// Offset and length of a PIVOT that takes its columns from the rows: nobody knows them beforehand.
    pub open_pivot: Option<(usize, usize)>,
}

/// A relation mentioned in a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The last part of the name, as written.
    pub name: String,
    /// True if a schema stands before it.
    pub qualified: bool,
    /// Offset and length in bytes.
    pub place: Option<(usize, usize)>,
    /// True if it may be the name of something else: a column, a function.
    pub guessed: bool,
}

impl Query {
    /// Returns the query as DuckDB can run it.
    pub fn as_run(&self, written: &SqlText) -> SqlText {
        match &self.rewritten {
            Some(rewritten) => rewritten.of(written),
            None => written.clone(),
        }
    }

    /// Drops guessed names that no relation has.
    pub fn keep_known(&mut self, is_relation: &dyn Fn(&str) -> bool) {
        self.reads
            .retain(|read| !read.guessed || is_relation(&read.name));
    }
}

impl Session {
    /// Parses queries, and answers in their order.
    ///
    /// # Errors
    /// The outer one is DuckDB's failure as a whole; the inner ones are the queries' own.
    pub fn parse(&self, queries: &[&str]) -> anyhow::Result<Vec<Result<Query, SqlFault>>> {
        match queries {
            [] => return Ok(Vec::new()),
            [query] => return Ok(vec![self.parse_one(query)?]),
            _ => {}
        }
        // One statement for all: to run one takes half as long as to parse a query.
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(queries));
        let rows = RecordBatch::try_from_iter([("query", texts)])?;
        let sql = format!("SELECT {}::VARCHAR FROM arrow($1)", serialize("query"));
        let answers = self.texts_over(&sql, rows)?;
        anyhow::ensure!(answers.len() == queries.len(), "a query has no answer");
        (answers.into_iter().flatten().zip(queries))
            .map(|(answer, text)| self.parsed(text, &answer.unwrap_or_default()))
            .collect()
    }

    /// Parses one query.
    ///
    /// # Errors
    /// As for [`Session::parse`].
    pub fn parse_one(&self, text: &str) -> anyhow::Result<Result<Query, SqlFault>> {
        self.parsed(text, &self.serialized(text)?)
    }

    /// Returns what DuckDB answers to a query's text.
    fn serialized(&self, text: &str) -> anyhow::Result<String> {
        let sql = format!("SELECT {}::VARCHAR", serialize("$1::VARCHAR"));
        Ok(self.text(&sql, &[&text])?.unwrap_or_default())
    }

    /// Takes what DuckDB answers to a query's text.
    fn parsed(&self, text: &str, answer: &str) -> anyhow::Result<Result<Query, SqlFault>> {
        let query = match tree_of(answer)? {
            Some(tree) => Self::query_of(&tree, text),
            None => Self::unserializable(text),
        };
        match query {
            Ok(query) => self.without_windows(text, query),
            Err(fault) => Ok(Err(self.with_quotes_advised(fault, text)?)),
        }
    }

    /// Adds to a fault of the syntax that the word before it would do in quotes, if so: some words of the language
    /// are names of columns elsewhere (`at`).
    fn with_quotes_advised(&self, fault: SqlFault, text: &str) -> anyhow::Result<SqlFault> {
        let tokens = tokens(text);
        let place = fault.place.map_or(0, |(start, _)| start);
        let count = tokens.iter().take_while(|token| token.end <= place).count();
        let [.., ahead, word] = &tokens[..count] else {
            return Ok(fault);
        };
        // Where a value can be: anywhere else, it would be an alias in quotes.
        let value = match ahead.kind {
            TokenKind::Word => BEFORE_VALUES.contains(&&*ahead.text(text).to_uppercase()),
            TokenKind::Symbol(_) => !(ahead.is_symbol(')') || ahead.is_symbol(']')),
            _ => false,
        };
        let name = word.kind == TokenKind::Word && !word.text(text).eq_ignore_ascii_case("FROM");
        if !(value && name && fault.message.starts_with("syntax error")) {
            return Ok(fault);
        }
        let quoted = quote_ident(word.text(text));
        let advised = format!("{}{quoted}{}", &text[..word.start], &text[word.end..]);
        let parses = tree_of(&self.serialized(&advised)?)?
            .is_some_and(|tree| tree["error"] == Value::Bool(false));
        Ok(match parses {
            true => SqlFault {
                help: Some(
                    format!("if `{}` is a name here, write {quoted}", word.text(text)).into(),
                ),
                ..fault
            },
            false => fault,
        })
    }

    /// Replaces the window functions of a query, and parses what that gives.
    fn without_windows(&self, text: &str, query: Query) -> anyhow::Result<Result<Query, SqlFault>> {
        let tree = query.tree.as_ref().unwrap_or(&Value::Null);
        let rewritten = match windows::rewrite(self, text, tree) {
            Ok(None) => return Ok(Ok(query)),
            Ok(Some(rewritten)) => rewritten,
            Err(fault) => return Ok(Err(fault)),
        };
        let parsed = self.parse_one(&rewritten.text)?;
        Ok(parsed.map(|query| Query {
            rewritten: Some(rewritten),
            ..query
        }))
    }

    fn query_of(answer: &Value, text: &str) -> Result<Query, SqlFault> {
        if answer["error"] == Value::Bool(true) {
            if answer["error_type"] == "not implemented" {
                return Ok(Query {
                    open_pivot: pivot::without_values(text),
                    ..Self::unserializable(text)?
                });
            }
            return Err(SqlFault::of_json(answer));
        }
        let statements = answer["statements"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let [statement] = statements else {
            return Err(SqlFault::of("expected one query"));
        };
        let tree = statement["node"].clone();
        if let Some(fault) = hidden_read(&tree) {
            return Err(fault);
        }
        Ok(Query {
            rewritten: None,
            reads: reads_of(&tree),
            tree: Some(tree),
            open_pivot: None,
        })
    }

    /// Takes a query without a tree: what it reads is unknown, so every name in it that some relation has
    /// counts as read. DuckDB refuses what is none when it binds the query.
    fn unserializable(text: &str) -> Result<Query, SqlFault> {
        let tokens = crate::sql::tokens(text);
        if let Some(at) = (0..tokens.len()).find(|at| hides(&tokens[*at..], text)) {
            let name = tokens[at].name(text).unwrap_or_default();
            let place = (tokens[at].start, tokens[at].end - tokens[at].start);
            return Err(hidden(&name, Some(place)));
        }
        let reads = (0..tokens.len())
            .filter_map(|at| {
                let start = tokens[at].start;
                let qualified = names_a_schema(&tokens, at, text);
                let mut last = at;
                while qualified && tokens.get(last + 1).is_some_and(|next| next.is_symbol('.')) {
                    last += 2;
                }
                let token = tokens.get(last)?;
                Some(Read {
                    name: token.name(text)?,
                    qualified,
                    place: Some((start, token.end - start)),
                    guessed: !qualified,
                })
            })
            .collect();
        Ok(Query {
            rewritten: None,
            tree: None,
            reads,
            open_pivot: None,
        })
    }

    /// Turns a tree back into SQL text.
    ///
    /// # Errors
    /// DuckDB does not take the tree.
    pub fn unparse(&self, tree: &Value) -> anyhow::Result<String> {
        let statement = serde_json::json!({"error": false, "statements": [{"node": tree}]});
        const SQL: &str = "SELECT json_deserialize_sql($1::JSON)";
        let text = self.text(SQL, &[&statement.to_string()])?;
        text.ok_or_else(|| anyhow::anyhow!("a query tree gave no text"))
    }
}

/// What may stand before a relation of a state or of the engine, and could be a table's name elsewhere.
const ENGINE_SCHEMAS: [&str; 8] = [
    "data",
    "state",
    "memory",
    "main",
    "temp",
    "system",
    "information_schema",
    "pg_catalog",
];

/// Says whether the name at a token is the schema, or database, of a relation: where only a relation can stand, or
/// by what those of a state are called.
fn names_a_schema(tokens: &[Token], at: usize, text: &str) -> bool {
    let follows_dot = |at: usize| tokens.get(at + 1).is_some_and(|next| next.is_symbol('.'));
    let is_any = |at: usize, words: &[&str]| {
        let name = tokens.get(at).and_then(|token| token.name(text));
        name.is_some_and(|name| words.iter().any(|word| name.eq_ignore_ascii_case(word)))
    };
    if !follows_dot(at) {
        return false;
    }
    let only_relations = [
        "PIVOT",
        "PIVOT_WIDER",
        "UNPIVOT",
        "PIVOT_LONGER",
        "SUMMARIZE",
    ];
    let of_a_state = is_any(at, &["state", "memory"])
        && is_any(at + 2, &["main", "data", "omlsp"])
        && follows_dot(at + 2);
    let of_the_engine = is_any(at, &ENGINE_SCHEMAS) && at > 0 && is_any(at - 1, &["FROM", "JOIN"]);
    (at > 0 && is_any(at - 1, &only_relations))
        || is_any(at, &["omlsp"])
        || of_a_state
        || of_the_engine
}

/// Returns the call that makes a tree of the query that an expression gives.
fn serialize(query: &str) -> String {
    format!(
        "json_serialize_sql({query}, skip_null := true, skip_empty := true, skip_default := true)"
    )
}

/// Finds a table function that reads what a text names: nobody could tell what the query follows.
fn hidden_read(value: &Value) -> Option<SqlFault> {
    match value {
        Value::Object(object) => {
            let name = value["function"]["function_name"].as_str();
            let hides = value["type"] == "TABLE_FUNCTION"
                && name.is_some_and(|name| HIDING.contains(&name.to_lowercase().as_str()));
            if hides {
                return Some(hidden(name.unwrap_or_default(), place_of(value)));
            }
            object.values().find_map(hidden_read)
        }
        Value::Array(items) => items.iter().find_map(hidden_read),
        _ => None,
    }
}

/// Says whether tokens begin with a call of a function that reads what a text names; where it is none but looks like
/// one, it is taken for one.
fn hides(tokens: &[Token], text: &str) -> bool {
    let [function, open, argument @ ..] = tokens else {
        return false;
    };
    let name = function.name(text).unwrap_or_default().to_lowercase();
    if !open.is_symbol('(') || !HIDING.contains(&name.as_str()) {
        return false;
    }
    let of_column = match argument {
        [column, after, ..] => {
            let name = column.name(text);
            name.is_some_and(|name| !name.contains('.'))
                && (after.is_symbol(')') || after.is_symbol(','))
        }
        _ => false,
    };
    !(name == HISTOGRAM && of_column)
}

fn hidden(function: &str, place: Option<(usize, usize)>) -> SqlFault {
    SqlFault {
        place,
        help: Some("name the relation, or write the query itself".into()),
        ..SqlFault::of(&format!("`{function}` hides what is read"))
    }
}

/// Returns every mention of a relation in a tree that is not one of its own CTEs, in order.
pub fn reads_of(tree: &Value) -> Vec<Read> {
    let mut reads = Vec::new();
    collect_reads(tree, &mut Vec::new(), &mut reads);
    reads
}

fn collect_reads(value: &Value, scope: &mut Vec<String>, reads: &mut Vec<Read>) {
    match value {
        Value::Object(object) => {
            let depth = scope.len();
            for (name, cte) in ctes(value) {
                let recursive = cte["type"] == "RECURSIVE_CTE_NODE";
                if recursive {
                    scope.push(name.to_lowercase());
                }
                collect_reads(cte, scope, reads);
                if !recursive {
                    scope.push(name.to_lowercase());
                }
            }
            if let Some(read) = read_of(value, scope) {
                reads.push(read);
            }
            for (key, child) in object {
                if key != "cte_map" {
                    collect_reads(child, scope, reads);
                }
            }
            scope.truncate(depth);
        }
        Value::Array(items) => {
            for item in items {
                collect_reads(item, scope, reads);
            }
        }
        _ => {}
    }
}

/// Returns name and query node of each CTE that a node defines, in order.
pub fn ctes(node: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = node["cte_map"]["map"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    entries.iter().filter_map(|entry| {
        let cte = &entry["value"];
        // Which of the two it is depends on the version that wrote the tree.
        let node = cte.get("query_node").or_else(|| cte["query"].get("node"))?;
        Some((entry["key"].as_str()?, node))
    })
}

/// Returns the relation that a table reference names, unless it is one of `ctes`.
pub fn read_of(reference: &Value, ctes: &[String]) -> Option<Read> {
    if reference["type"] != "BASE_TABLE" {
        return None;
    }
    let path = reference["qualified_name"]["path"].as_array();
    let qualified = path.map_or_else(
        || reference.get("schema_name").is_some(),
        |path| path.len() > 1,
    );
    let name = reference["table_name"].as_str()?;
    if !qualified && ctes.contains(&name.to_lowercase()) {
        return None;
    }
    Some(Read {
        name: name.to_owned(),
        qualified,
        place: place_of(reference),
        guessed: false,
    })
}

/// Returns offset and length of any node of the tree that has a place.
pub fn place_of(node: &Value) -> Option<(usize, usize)> {
    let start = node["query_location"].as_u64()?;
    let length = node["query_location_length"].as_u64().unwrap_or(1);
    Some((usize::try_from(start).ok()?, usize::try_from(length).ok()?))
}

/// Reads a tree, or `None` if it is too deep to be walked: the query is then one without a tree.
fn tree_of(answer: &str) -> serde_json::Result<Option<Value>> {
    if depth_of(answer) > TREE_DEPTH_MAX {
        return Ok(None);
    }
    let mut reader = serde_json::Deserializer::from_str(answer);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).map(Some)
}

/// Returns how deep the arrays and objects of a JSON text lie in each other.
fn depth_of(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
