//! What travels between a client and a pipeline: JSON, one object a line.
//!
//! The client sends `{"sql": "…"}`, with its settings, or what else it wants instead: `{"want": "status"}`,
//! `{"want": {"tail": "ENTITY"}}`, which goes on until it is cancelled, `{"want": {"latest": "ENTITY"}}`. The answer is a sequence of
//! `{"columns": [{"name": …, "type": …}]}`, `{"rows": [[…], …]}`, `{"message": …}`, `{"settings": {…}}`,
//! `{"status": {…}}`, `{"error": …}`, and at last `{"done": true}`. `{"cancel": true}`, or closing the connection, cancels what
//! runs. Each result starts with its `columns`; its rows come in any number of pieces. Numbers have all their
//! digits, so whoever needs them must not read them as floats.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::batch::array::{Array, AsArray as _};
use crate::batch::datatypes::{DataType, Float32Type, Float64Type};
use crate::batch::{RecordBatch, array::ArrayRef};
use crate::format::{Cells, Content, Style};

/// The bytes of rows in one piece: large enough to travel cheaply, small enough to be held by each of many
/// clients.
const PIECE_BYTES: usize = 64 * 1024;

/// What a client asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    #[serde(default)]
    pub want: Want,
    /// Any number of statements.
    #[serde(default)]
    pub sql: String,
    /// What the text is called in messages: a file's path, or empty.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub settings: Settings,
    /// Whether its statements may change the pipeline: a client of the socket is its owner, one of the
    /// listener may not be.
    #[serde(skip)]
    pub reach: Reach,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// To execute its statements.
    #[default]
    Script,
    /// What every entity is doing.
    Status,
    /// The changes of an entity as they come.
    Tail(String),
    /// A few of an entity's rows, the latest where that is known.
    Latest(String),
}

/// What statements may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    Change,
    Read,
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnHead {
    pub name: String,
    /// DuckDB's word for it.
    #[serde(rename = "type")]
    pub sql_type: String,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A result begins.
    Columns(Vec<ColumnHead>),
    /// Some of its rows: the text of a JSON array of arrays. NaN and infinities are texts.
    Rows(String),
    /// What a statement without rows did.
    Message(String),
    /// The settings to send with the next request.
    Settings(Settings),
    /// What every entity is doing: the text of a JSON object.
    Status(String),
    /// A statement failed, and the rest of the script is not executed.
    Error(String),
    /// The script is over.
    Done,
}

#[derive(Deserialize)]
struct Line {
    columns: Option<Vec<ColumnHead>>,
    message: Option<String>,
    settings: Option<Settings>,
    error: Option<String>,
    done: Option<bool>,
}

const ROWS_HEAD: &str = "{\"rows\":";
const STATUS_HEAD: &str = "{\"status\":";

impl Event {
    /// Returns the line that carries it, with its line break.
    pub fn to_line(&self) -> String {
        let mut line = match self {
            Self::Columns(columns) => serde_json::json!({ "columns": columns }).to_string(),
            Self::Rows(rows) => format!("{ROWS_HEAD}{rows}}}"),
            Self::Message(text) => serde_json::json!({ "message": text }).to_string(),
            Self::Settings(settings) => serde_json::json!({ "settings": settings }).to_string(),
            Self::Status(status) => format!("{STATUS_HEAD}{status}}}"),
            Self::Error(text) => serde_json::json!({ "error": text }).to_string(),
            Self::Done => serde_json::json!({ "done": true }).to_string(),
        };
        line.push('\n');
        line
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It is none of these.
    pub fn of_line(line: &str) -> anyhow::Result<Self> {
        let line = line.trim_end();
        // Rows stay text: reading a million of them into values would cost more than printing them.
        if let Some(rows) = line.strip_prefix(ROWS_HEAD) {
            let rows = rows
                .strip_suffix('}')
                .context("a piece of rows is cut off")?;
            return Ok(Self::Rows(rows.to_owned()));
        }
        if let Some(status) = line.strip_prefix(STATUS_HEAD) {
            let status = status.strip_suffix('}').context("a status is cut off")?;
            return Ok(Self::Status(status.to_owned()));
        }
        let line: Line = serde_json::from_str(line).context("the answer is not understood")?;
        let events = [
            line.columns.map(Self::Columns),
            line.message.map(Self::Message),
            line.settings.map(Self::Settings),
            line.error.map(Self::Error),
            line.done.map(|_| Self::Done),
        ];
        let event = events.into_iter().flatten().next();
        event.context("the answer is not understood; is the pipeline of another version?")
    }
}

/// Where the pieces of an answer go. An error means that nobody wants the rest.
pub type Emit<'a> = &'a mut dyn FnMut(Event) -> anyhow::Result<()>;

/// Writes the rows of batches, in pieces.
pub struct RowWriter {
    json: Vec<bool>,
    text: Vec<u8>,
}

impl RowWriter {
    pub fn new(columns: &[ColumnHead]) -> Self {
        let is_json = |column: &ColumnHead| column.sql_type.eq_ignore_ascii_case("JSON");
        Self {
            json: columns.iter().map(is_json).collect(),
            text: Vec::new(),
        }
    }

    /// Adds the rows of a batch and emits full pieces.
    ///
    /// # Errors
    /// A type that has no text, or nobody wants the rest.
    pub fn write(&mut self, batch: &RecordBatch, emit: Emit<'_>) -> anyhow::Result<()> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (column, json) in batch.columns().iter().zip(&self.json) {
            let content = if *json { Content::Json } else { Content::Plain };
            columns.push((Cells::of(column, content, Style::Json)?, Odd::of(column)));
        }
        for row in 0..batch.num_rows() {
            self.text
                .push(if self.text.is_empty() { b'[' } else { b',' });
            self.text.push(b'[');
            for (at, (cells, odd)) in columns.iter().enumerate() {
                if at > 0 {
                    self.text.push(b',');
                }
                match odd.at(row) {
                    Some(word) => self.text.extend_from_slice(word.as_bytes()),
                    None => cells.write_or_null(row, &mut self.text),
                }
            }
            self.text.push(b']');
            if self.text.len() >= PIECE_BYTES {
                self.flush(emit)?;
            }
        }
        Ok(())
    }

    /// Emits what is left.
    ///
    /// # Errors
    /// Nobody wants it.
    pub fn flush(&mut self, emit: Emit<'_>) -> anyhow::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.text.push(b']');
        let rows = String::from_utf8(std::mem::take(&mut self.text))?;
        emit(Event::Rows(rows))
    }
}

/// The numbers of a column that JSON has no word for.
enum Odd {
    None,
    Float32(ArrayRef),
    Float64(ArrayRef),
}

impl Odd {
    fn of(column: &ArrayRef) -> Self {
        match column.data_type() {
            DataType::Float32 => Self::Float32(column.clone()),
            DataType::Float64 => Self::Float64(column.clone()),
            _ => Self::None,
        }
    }

    fn at(&self, row: usize) -> Option<&'static str> {
        let value = match self {
            Self::None => return None,
            Self::Float32(column) if column.is_valid(row) => {
                f64::from(column.as_primitive::<Float32Type>().value(row))
            }
            Self::Float64(column) if column.is_valid(row) => {
                column.as_primitive::<Float64Type>().value(row)
            }
            _ => return None,
        };
        match value {
            value if value.is_finite() => None,
            value if value.is_nan() => Some("\"NaN\""),
            value if value > 0.0 => Some("\"inf\""),
            _ => Some("\"-inf\""),
        }
    }
}
