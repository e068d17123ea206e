//! A server, a folder with a pipeline in it, and ways to look at what came of a run.

use serde_json::{Value, json};

use crate::support::binary::{Omlsp, Output, Project};
use crate::support::http::{Reply, Server};

/// A pipeline and the server it polls; `${URL}` in the pipeline is the server.
pub struct Setting {
    pub project: Project,
    pub server: Server,
}

/// One line of `omlsp_errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub entity: String,
    pub stage: String,
    pub message: String,
    pub payload: String,
}

impl Setting {
    /// Writes the pipeline to `pipeline.sql` beside a server that answers nothing yet.
    pub fn new(sql: &str) -> Self {
        let setting = Self {
            project: Project::new(),
            server: Server::start(),
        };
        setting.pipeline(sql);
        setting
    }

    /// As [`Setting::new`], the path `/rows` answered with the replies in turn.
    pub fn scripted(sql: &str, replies: Vec<Reply>) -> Self {
        let setting = Self::new(sql);
        setting.server.script("/rows", replies);
        setting
    }

    /// Replaces the pipeline.
    pub fn pipeline(&self, sql: &str) {
        self.project.file("pipeline.sql", sql);
    }

    /// Prepares `omlsp run pipeline.sql` with more arguments; the state is in `.omlsp`.
    pub fn run<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Omlsp {
        let args = ["run", "pipeline.sql"].into_iter().chain(more);
        self.project.omlsp(args).env("URL", self.server.url())
    }

    /// Runs the pipeline once in memory.
    pub fn once(&self) -> Output {
        self.run(["--once", "--ephemeral"]).run()
    }

    /// Runs the pipeline once over the state in `.omlsp`.
    pub fn once_kept(&self) -> Output {
        self.run(["--once"]).run()
    }

    /// Returns a query's rows over the state that a run left, as JSON by DuckDB.
    pub fn rows(&self, query: &str) -> Vec<Value> {
        let path = self.project.path().join(".omlsp/state.duckdb");
        let database = omlsp::engine::Database::open(Some(&path)).expect("the state can be opened");
        let session = database.session().expect("a session can be had");
        let sql = format!("SELECT to_json(_row)::VARCHAR FROM ({query}) AS _row");
        let texts = session
            .texts(&sql, &[])
            .unwrap_or_else(|error| panic!("{error:#}: {query}"));
        let parse = |row: Vec<Option<String>>| {
            let text = row
                .into_iter()
                .next()
                .flatten()
                .expect("to_json gives a text");
            serde_json::from_str(&text).expect("DuckDB writes JSON")
        };
        texts.into_iter().map(parse).collect()
    }

    /// Returns the lines of `omlsp_errors` that a run left, oldest first.
    pub fn errors(&self) -> Vec<Recorded> {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        self.rows("SELECT * FROM omlsp_errors ORDER BY time")
            .iter()
            .map(|row| Recorded {
                entity: text(row, "entity"),
                stage: text(row, "stage"),
                message: text(row, "message"),
                payload: text(row, "payload"),
            })
            .collect()
    }
}

/// Returns the rows of a file that DuckDB itself can read, in the file's order.
pub fn file_rows(path: &std::path::Path) -> Vec<Value> {
    let connection = duckdb::Connection::open_in_memory().expect("DuckDB opens in memory");
    let reader = match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => "read_parquet",
        Some("csv") => "read_csv",
        _ => "read_json",
    };
    let sql = format!(
        "SELECT to_json(_row)::VARCHAR FROM (FROM {reader}('{}')) AS _row",
        path.display()
    );
    let mut statement = connection.prepare(&sql).expect("DuckDB reads the file");
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .expect("the file is whole");
    rows.map(|row| {
        serde_json::from_str(&row.expect("the file is whole")).expect("DuckDB writes JSON")
    })
    .collect()
}

/// Returns the names of the files in a folder, hidden ones too, in order; none if there is no folder.
pub fn file_names(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("the folder can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// Makes `{"id": 1}`, `{"id": 2}`, … as a reply.
pub fn ids(range: impl IntoIterator<Item = i64>) -> Reply {
    let rows: Vec<Value> = range.into_iter().map(|id| json!({"id": id})).collect();
    Reply::value(&Value::Array(rows))
}

/// Returns one field of each row.
pub fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

/// Returns rows in the order of their text, for results whose order is not said.
pub fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

/// Asserts that two lists of rows are the same, numbers compared by value.
pub fn assert_rows(actual: &[Value], expected: &[Value], context: &dyn std::fmt::Display) {
    assert_eq!(
        actual.len(),
        expected.len(),
        "{actual:#?}\nexpected {expected:#?}\n{context}"
    );
    for (row, wanted) in actual.iter().zip(expected) {
        assert!(same(row, wanted), "{row}\nexpected\n{wanted}\n{context}");
    }
}

/// Compares JSON, `1.0` and `1` taken as the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
