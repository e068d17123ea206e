//! The unit that travels: rows in Arrow columns, a change sign per row, and the instant of the trigger.
//!
//! The only module that re-exports Arrow; everybody else imports it from here.

pub use duckdb::arrow::{array, buffer, compute, datatypes, record_batch::RecordBatch};

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// The columns of a relation: a name and an Arrow type each.
pub type Schema = datatypes::SchemaRef;

/// Marks the columns whose DuckDB type is JSON with the Arrow extension name `arrow.json`, by which the
/// formats know that their text is JSON already.
///
/// Source: Arrow's canonical extension types, "JSON".
pub fn mark_json(schema: &Schema, columns: &[(String, String)]) -> Schema {
    let fields: Vec<datatypes::Field> = (schema.fields().iter().zip(columns))
        .map(|(field, (_, sql_type))| {
            let field = field.as_ref().clone();
            if sql_type.eq_ignore_ascii_case("JSON") {
                let name = (EXTENSION_NAME.to_owned(), "arrow.json".to_owned());
                field.with_metadata(std::collections::HashMap::from([name]))
            } else {
                field
            }
        })
        .collect();
    Arc::new(datatypes::Schema::new(fields))
}

/// The metadata key of Arrow's extension types.
const EXTENSION_NAME: &str = "ARROW:extension:name";

/// What a row does to its relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Insert,
    Delete,
}

/// Rows that change a relation.
#[derive(Clone, Debug)]
pub struct Batch {
    pub rows: RecordBatch,
    /// All rows of a batch have one sign: a change of both kinds is two batches, deletes first.
    pub sign: Sign,
    /// The scheduled instant of the tick, or the instant of receipt of a pushed message.
    pub trigger: DateTime<Utc>,
}

impl Batch {
    pub fn row_count(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn schema(&self) -> Schema {
        Arc::clone(self.rows.schema_ref())
    }
}

/// A declared column as the formats fill it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The type in DuckDB's own words, such as `DECIMAL(18,2)`.
    pub sql_type: String,
    /// The Arrow type that a format builds. Where DuckDB's type has no native counterpart in
    /// [`crate::format`] (UUID, INTERVAL, ENUM, …) it is `Utf8`, and the engine casts on the way in.
    pub arrow: datatypes::DataType,
    /// False for `NOT NULL`, and for a column of the primary key.
    pub nullable: bool,
    /// True for a column of the primary key.
    pub in_key: bool,
}

/// A row that did not fit, kept apart with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Says which column or step refused which value, such as ``column `price`: `abc` is not a DOUBLE``.
    pub message: String,
    /// The row as it came, as JSON where it was JSON, cut to a bound by who records it.
    pub payload: String,
}

/// What a format makes of one body: the rows that fit, by column, and those that did not.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub rows: RecordBatch,
    pub rejects: Vec<Reject>,
}
