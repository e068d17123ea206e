//! A pipeline that runs in a project's folder, and raw connections to its control socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::binary::{Output, Project, Running, WAIT_MAX, wait_until};

/// Ten rows that come at once, and a source that never ends.
pub const PIPELINE: &str = "
CREATE TABLE numbers (n BIGINT PRIMARY KEY, half DOUBLE AS (n / 2)) WITH (connector = 'generate', rows = 10);
CREATE VIEW halves AS SELECT half FROM numbers;
CREATE MATERIALIZED VIEW total AS SELECT sum(half) AS total FROM halves;
CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate', rows_per_second = 50);
";

/// `omlsp run p.sql --state-dir state` in a project's folder.
pub struct Owner<'a> {
    pub project: &'a Project,
    pub running: Running,
}

impl<'a> Owner<'a> {
    /// Starts it and waits until it answers.
    pub fn start(project: &'a Project) -> Self {
        Self::start_with(project, &[])
    }

    pub fn start_with(project: &'a Project, env: &[(&str, &str)]) -> Self {
        let mut omlsp = project.omlsp(["run", "p.sql", "--state-dir", "state"]);
        for (name, value) in env {
            omlsp = omlsp.env(name, value);
        }
        let mut running = omlsp.spawn();
        let socket = project.path().join("state/control.sock");
        running.wait_until(
            |_| UnixStream::connect(&socket).is_ok(),
            "a control socket that answers",
        );
        Self { project, running }
    }

    pub fn socket(&self) -> PathBuf {
        self.project.path().join("state/control.sock")
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.socket())
    }

    /// Executes statements and returns the rows of the last result.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        self.connect().run(sql).expect_rows()
    }

    /// Waits until a query's only value is true.
    pub fn wait_for(&self, sql: &str) {
        wait_until(|| self.rows(sql) == [json!([true])], sql);
    }

    /// Ends it by a signal.
    pub fn stop(self) -> Output {
        self.running.terminate();
        self.running.wait().expect_code(0)
    }
}

/// What one request came to.
#[derive(Debug, Default)]
pub struct Answer {
    pub rows: Vec<Value>,
    pub messages: Vec<String>,
    pub error: Option<String>,
    pub done: bool,
}

impl Answer {
    pub fn expect_rows(self) -> Vec<Value> {
        assert!(self.error.is_none() && self.done, "{self:?}");
        self.rows
    }

    pub fn expect_message(self, text: &str) {
        assert!(self.error.is_none() && self.done, "{self:?}");
        assert!(
            self.messages.iter().any(|message| message.contains(text)),
            "no `{text}` in {self:?}"
        );
    }

    pub fn expect_error(&self, text: &str) {
        let error = self
            .error
            .as_deref()
            .unwrap_or_else(|| panic!("no error: {self:?}"));
        assert!(error.contains(text), "no `{text}` in {error}");
    }
}

/// One connection to a control socket, spoken to line by line.
pub struct Connection {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Connection {
    pub fn open(socket: &std::path::Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the owner listens");
        stream
            .set_read_timeout(Some(WAIT_MAX))
            .expect("a timeout can be set");
        let reader = BufReader::new(stream.try_clone().expect("a descriptor is left"));
        Self { stream, reader }
    }

    pub fn send(&mut self, line: &Value) {
        writeln!(self.stream, "{line}").expect("the owner reads");
    }

    pub fn cancel(&mut self) {
        self.send(&json!({"cancel": true}));
    }

    /// Reads one line; `None` at the end.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let count = self
            .reader
            .read_line(&mut line)
            .expect("the owner answers in time");
        (count > 0).then(|| serde_json::from_str(&line).expect("the answer is JSON"))
    }

    /// Reads up to the end of an answer.
    pub fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        while let Some(line) = self.line() {
            if line["columns"].is_array() {
                answer.rows.clear();
            }
            answer
                .rows
                .extend(line["rows"].as_array().into_iter().flatten().cloned());
            answer
                .messages
                .extend(line["message"].as_str().map(str::to_owned));
            answer.error = line["error"].as_str().map(str::to_owned).or(answer.error);
            if line["done"] == true {
                answer.done = true;
                break;
            }
        }
        answer
    }

    pub fn run(&mut self, sql: &str) -> Answer {
        self.send(&json!({"sql": sql}));
        self.answer()
    }
}
