//! What the prompt helps with: statements of several lines, and the words one may want to write next.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rustyline::completion::{Completer, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use crate::cli::client::Client;
use crate::server::Event;
use crate::sql::{ends_statement, name_in_sql};

/// The words of statements.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASCADE",
    "CASE",
    "CAST",
    "COUNT",
    "CREATE",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ERRORS",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOOKUPS",
    "MATERIALIZED",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PRIMARY KEY",
    "QUALIFY",
    "REPLACE",
    "RIGHT",
    "SECRET",
    "SECRETS",
    "SELECT",
    "SET",
    "SHOW",
    "SINK",
    "SINKS",
    "SOURCE",
    "SOURCES",
    "TABLE",
    "TABLES",
    "TEMPORARY",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "VIEW",
    "VIEWS",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Gives the names of entities and columns: relations with their columns first, then what has none.
const NAMES: &str = "SELECT DISTINCT table_name, column_name FROM duckdb_columns() \
     WHERE schema_name = 'main' AND NOT internal; SHOW SINKS; SHOW SECRETS; SHOW LOOKUPS";

/// The names of a pipeline's entities and columns.
#[derive(Default)]
pub struct Names {
    all: Mutex<BTreeSet<String>>,
}

impl Names {
    /// Asks for the names anew. Whoever does not answer leaves the prompt without them.
    pub fn refresh(&self, client: &mut Client) {
        let mut names = BTreeSet::new();
        let mut cells = 0;
        let answered = client.run(NAMES, "", &mut |event| {
            match event {
                // Of a relation's row both cells are names, of the others the first is.
                Event::Columns(columns)
                    if columns.len() == 2 && columns[0].name == "table_name" =>
                {
                    cells = 2
                }
                Event::Columns(_) => cells = 1,
                Event::Rows(rows) => {
                    let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(&rows)?;
                    for row in rows {
                        let texts = row.iter().take(cells).filter_map(|cell| cell.as_str());
                        names.extend(texts.map(str::to_owned));
                    }
                }
                _ => {}
            }
            Ok(())
        });
        if answered.is_ok_and(|well| well) {
            *self.all.lock().expect("no panic happens under this lock") = names;
        }
    }

    /// Returns what a word may become: names as they are written, keywords in the case of the word.
    fn candidates(&self, word: &str) -> Vec<String> {
        let start = word.trim_start_matches('"').to_lowercase();
        let lower = word.chars().all(|c| !c.is_uppercase());
        let names = self.all.lock().expect("no panic happens under this lock");
        let names = names
            .iter()
            .filter(|name| name.to_lowercase().starts_with(&start));
        let mut all: Vec<String> = names.map(|name| name_in_sql(name)).collect();
        if !word.is_empty() && !word.starts_with('"') {
            let keywords = KEYWORDS
                .iter()
                .filter(|keyword| keyword.to_lowercase().starts_with(&start));
            all.extend(keywords.map(|keyword| {
                if lower {
                    keyword.to_lowercase()
                } else {
                    (*keyword).to_owned()
                }
            }));
        }
        all
    }
}

/// Where the word before the cursor starts.
fn word_start(line: &str, cursor: usize) -> usize {
    let before = &line[..cursor];
    let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    before.trim_end_matches(in_word).len()
}

/// The help of the prompt.
#[derive(Helper, Hinter, Highlighter)]
pub struct Hints {
    names: Arc<Names>,
}

impl Hints {
    pub fn new(names: Arc<Names>) -> Self {
        Self { names }
    }
}

impl Completer for Hints {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let start = word_start(line, cursor);
        let candidates = self.names.candidates(&line[start..cursor]);
        let pair = |text: String| Pair {
            display: text.clone(),
            replacement: text,
        };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Validator for Hints {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let word = text.trim().to_lowercase();
        let command =
            word.starts_with('\\') || ["", "quit", "exit", "help"].contains(&word.as_str());
        Ok(if command || ends_statement(text) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_the_word_at_the_cursor() {
        let names = Names::default();
        names
            .all
            .lock()
            .unwrap()
            .extend(["prices", "Price list", "symbol"].map(str::to_owned));
        let complete = |line: &str| names.candidates(&line[word_start(line, line.len())..]);
        assert_eq!(complete("sel"), ["select"]);
        assert_eq!(complete("SEL"), ["SELECT"]);
        assert_eq!(
            complete("select * from pri"),
            ["\"Price list\"", "prices", "primary key"]
        );
        assert_eq!(complete("select prices.sy"), ["symbol"]);
        assert_eq!(complete("from \"Pri"), ["\"Price list\"", "prices"]);
    }
}
