//! A folder in which a pipeline is recorded and replayed, and what a replay leaves behind.

use std::path::Path;

use serde_json::Value;

use crate::support::binary::{Omlsp, Output, Project};

/// Where records are written.
pub const RECORD: &str = "record";

/// A pipeline with its surroundings.
pub struct Stage {
    pub project: Project,
    env: Vec<(String, String)>,
}

/// Everything that a replay has left: what it printed, its files, and every row of its state.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    pub stdout: String,
    pub files: Vec<(String, Vec<u8>)>,
    pub tables: Vec<(String, Vec<String>)>,
}

impl Stage {
    pub fn new(sql: &str) -> Self {
        let stage = Self {
            project: Project::new(),
            env: Vec::new(),
        };
        stage.project.file("pipeline.sql", sql);
        stage
    }

    /// Sets a variable for every call.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn omlsp<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Omlsp {
        let omlsp = self.project.omlsp(args);
        self.env
            .iter()
            .fold(omlsp, |omlsp, (name, value)| omlsp.env(name, value))
    }

    /// Prepares a run in memory that is recorded.
    pub fn recording<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Omlsp {
        let args = ["run", "pipeline.sql", "--ephemeral", "--record", RECORD];
        self.omlsp(args.into_iter().chain(more))
    }

    /// Replays in memory.
    pub fn replay(&self) -> Output {
        self.omlsp(["run", "pipeline.sql", "--replay", RECORD])
            .run()
    }

    /// Replays with a state in a new directory `name`, sinks to the network captured in `name-sinks`.
    pub fn replay_into(&self, name: &str) -> (Output, Left) {
        let sinks = format!("{name}-sinks");
        let args = ["run", "pipeline.sql", "--replay", RECORD, "--state-dir"];
        let output = self
            .omlsp(args.into_iter().chain([name, "--capture", &sinks]))
            .run();
        // What file sinks write goes to `out`; the next replay begins without it.
        let out = self.project.path().join("out");
        let mut written = files(&out);
        std::fs::remove_dir_all(&out).unwrap_or_default();
        written.extend(files(&self.project.path().join(&sinks)));
        let left = Left {
            stdout: output.stdout.clone(),
            files: written,
            tables: tables(&self.project.path().join(name).join("state.duckdb")),
        };
        (output, left)
    }

    /// Replays twice, asserts that both left the same bytes, and returns what they left.
    pub fn replay_twice(&self) -> Left {
        let (first, left) = self.replay_into("first");
        first.clone().expect_code(0);
        let (second, again) = self.replay_into("second");
        second.expect_code(0);
        assert_same(&left, &again);
        let live = self.replay().expect_code(0);
        assert_eq!(
            live.stdout, left.stdout,
            "with and without a state directory"
        );
        left
    }

    pub fn record(&self) -> String {
        self.project
            .read(&format!("{RECORD}/record.jsonl"))
            .expect("a record was written")
    }

    /// Returns the lines of the record of one kind.
    pub fn lines(&self, kind: &str) -> Vec<Value> {
        let record = self.record();
        let lines = record
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"));
        lines.filter(|line: &Value| line["kind"] == kind).collect()
    }
}

fn assert_same(left: &Left, right: &Left) {
    assert_eq!(left.stdout, right.stdout);
    assert_eq!(left.files, right.files);
    for ((name, rows), (other, others)) in left.tables.iter().zip(&right.tables) {
        assert_eq!((name, rows), (other, others));
    }
    assert_eq!(left.tables.len(), right.tables.len());
}

impl Left {
    /// Returns the rows of a table such as `data.prices`, each as JSON.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let found = self.tables.iter().find(|(name, _)| name == table);
        let (_, rows) = found.unwrap_or_else(|| panic!("no table {table}"));
        rows.iter()
            .map(|row| serde_json::from_str(row).expect("a row is JSON"))
            .collect()
    }
}

/// Returns the files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (
                name.into_owned(),
                std::fs::read(&path).expect("the file can be read"),
            )
        })
        .collect();
    files.sort();
    files
}

/// Returns every row of every table of a state, hidden columns, logs, errors and positions included, in the
/// order in which they lie.
fn tables(path: &Path) -> Vec<(String, Vec<String>)> {
    let database = omlsp::engine::Database::open(Some(path)).expect("the state can be opened");
    let session = database.session().expect("a session can be had");
    let names = session
        .texts(
            "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL",
            &[],
        )
        .expect("the state has tables");
    let mut tables = Vec::new();
    for name in names {
        let [Some(schema), Some(table)] = name.as_slice() else {
            panic!("a table has a schema and a name");
        };
        let sql =
            format!("SELECT to_json(_row)::VARCHAR FROM (FROM \"{schema}\".\"{table}\") AS _row");
        let rows = session.texts(&sql, &[]).expect("a table can be read");
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().flatten().collect());
        tables.push((format!("{schema}.{table}"), rows.collect()));
    }
    tables
}
