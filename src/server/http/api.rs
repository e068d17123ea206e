//! What the page asks for, as JSON: one entity in full, and the results of statements.
//!
//! Everything here blocks. Cells are the texts that people see, or `null`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::Entity;
use crate::server::protocol::{ColumnHead, Event, Reach, Request, Want};
use crate::server::service::Service;
use crate::server::settings::Settings;
use crate::server::{Control, each_row};
use crate::sql::{EntityKind, quote_ident};

/// The rows of one answer: more than anybody reads on a page. `omlsp sql` gives all of them.
const ROWS_MAX: usize = 1000;

/// The bytes of one answer's cells, for rows that are long.
const BYTES_MAX: usize = 4 << 20;

/// How long a statement of the page may take; longer ones are for `omlsp sql`.
const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// How long a look at an entity's rows may take: it happens at each click.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The requests to lookups that a statement of the page may cause.
const LOOKUP_REQUESTS_MAX: u64 = 100;

/// What a script came to, up to the bounds.
#[derive(Default)]
struct Answer {
    results: Vec<Value>,
    columns: Vec<ColumnHead>,
    rows: Vec<Value>,
    /// Whether a result is under way.
    open: bool,
    bytes: usize,
    truncated: bool,
    messages: Vec<String>,
    error: Option<String>,
}

impl Answer {
    /// Takes a piece.
    ///
    /// # Errors
    /// There is enough; the rest of the script is not wanted.
    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Columns(columns) => {
                self.end_result();
                self.open = true;
                self.columns = columns;
            }
            Event::Rows(rows) => self.take_rows(&rows)?,
            Event::Message(text) => self.messages.push(text),
            // What stopped it was we.
            Event::Error(_) if self.truncated => {}
            Event::Error(text) => self.error = Some(text),
            Event::Settings(_) | Event::Status(_) | Event::Done => {}
        }
        Ok(())
    }

    fn take_rows(&mut self, rows: &str) -> anyhow::Result<()> {
        each_row(rows, |cells| {
            if self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
                self.truncated = true;
                anyhow::bail!("there is more than a page shows");
            }
            self.bytes += cells.iter().map(|cell| cell.len()).sum::<usize>();
            self.rows
                .push(cells.iter().map(|cell| text_of(cell)).collect());
            Ok(())
        })
    }

    fn end_result(&mut self) {
        if std::mem::take(&mut self.open) {
            self.results.push(json!({
                "columns": std::mem::take(&mut self.columns),
                "rows": std::mem::take(&mut self.rows),
            }));
        }
    }

    fn into_json(mut self) -> Value {
        self.end_result();
        json!({
            "results": self.results,
            "truncated": self.truncated,
            "messages": self.messages,
            "error": self.error,
        })
    }

    /// Returns the rows of its first result.
    fn into_first(mut self) -> Value {
        self.end_result();
        self.results.into_iter().next().unwrap_or(Value::Null)
    }
}

/// Returns the text of a cell, or `null`.
fn text_of(cell: &str) -> Value {
    match cell {
        "null" => Value::Null,
        cell if cell.starts_with('"') => serde_json::from_str(cell).unwrap_or_else(|_| json!(cell)),
        cell => json!(cell),
    }
}

fn ask(service: &Service, request: &Request, control: &Control) -> Answer {
    let mut answer = Answer::default();
    service.run(request, control, &mut |event| answer.take(event));
    answer
}

/// Executes statements and returns their results.
pub fn sql(service: &Service, sql: String, reach: Reach, control: &Control) -> Value {
    let request = Request {
        sql,
        reach,
        settings: settings(STATEMENT_MAX),
        ..Request::default()
    };
    ask(service, &request, control).into_json()
}

fn settings(timeout: Duration) -> Settings {
    Settings {
        statement_timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        lookup_requests_max: LOOKUP_REQUESTS_MAX,
    }
}

/// Returns all there is to tell about one entity; `None` if there is no such entity to be shown.
pub fn entity(service: &Service, name: &str, control: &Control) -> Option<Value> {
    let pipeline = service.pipeline();
    let shown = |entity: &&Entity| entity.kind() != EntityKind::Secret;
    let entity = pipeline.catalog.get(name).filter(shown)?;
    let name = &entity.name().name;
    let statement = |sql: String| {
        let request = Request {
            sql,
            reach: Reach::Read,
            settings: settings(LOOK_MAX),
            ..Request::default()
        };
        ask(service, &request, control)
    };
    let quoted = quote_ident(name);
    let definition = statement(format!("SHOW CREATE {quoted}")).into_first();
    let columns = match entity.kind() {
        EntityKind::Sink => Value::Null,
        _ => statement(format!("DESCRIBE {quoted}")).into_first(),
    };
    let text = name.to_lowercase().replace('\'', "''");
    let errors = statement(format!(
        "SELECT time, stage, message, payload FROM omlsp_errors \
         WHERE lower(entity) IN ('{text}', '{text} result') ORDER BY time DESC LIMIT 20"
    ));
    let latest = Request {
        want: Want::Latest(name.clone()),
        reach: Reach::Read,
        settings: settings(LOOK_MAX),
        ..Request::default()
    };
    let mut status = service.entity_status(entity, &service.lag());
    status["definition"] = definition["rows"][0][1].clone();
    status["columns"] = columns["rows"].clone();
    status["errors_kept"] = errors.into_first()["rows"].clone();
    status["latest"] = ask(service, &latest, control).into_json();
    status["origin"] = match &entity.origin {
        Some(path) => json!(path.display().to_string()),
        None => json!("statement"),
    };
    Some(status)
}
