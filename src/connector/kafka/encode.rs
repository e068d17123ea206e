//! Rows to the keys and values of messages.
//!
//! A key of one column is that column's bare text, as `kafka-console-consumer` would show it; a key of
//! several is a JSON object in the order of `key`. Both hold for every `encode`, so that a key means the
//! same wherever it is read.

use std::sync::Arc;

use anyhow::Context as _;

use super::options::{Encoding, SinkOptions};
use super::registry::{Registry, write_frame};
use crate::batch::{RecordBatch, Schema};
use crate::format::{
    AvroEncoder, AvroRows, Cells, Content, JsonEncoder, JsonRows, Style, avro_schema,
};

/// Writes values.
pub(super) enum ValueEncoder {
    Json(JsonEncoder),
    Avro { id: u32, encoder: AvroEncoder },
}

/// The values of one batch.
pub(super) enum Values<'e> {
    Json(JsonRows<'e>),
    Avro { id: u32, rows: AvroRows },
}

impl ValueEncoder {
    /// Makes an encoder. With Avro the schema is the newest of the subject `<topic>-value`; if it has none,
    /// the relation's own is registered.
    ///
    /// # Errors
    /// The registry is away, or its schema and the relation do not fit.
    pub(super) fn new(options: &SinkOptions, schema: &Schema) -> anyhow::Result<Self> {
        let Encoding::Avro { registry } = &options.connection.encoding else {
            return Ok(Self::Json(JsonEncoder::new(schema, &[])?));
        };
        let registry = Registry::new(registry)?;
        let topic = &options.connection.topic;
        let subject = format!("{topic}-value");
        if let Some(latest) = registry.latest(&subject)? {
            let encoder = AvroEncoder::new(schema, &latest.schema).with_context(|| {
                format!(
                    "the rows do not fit schema {} of subject `{subject}`",
                    latest.id
                )
            })?;
            return Ok(Self::Avro {
                id: latest.id,
                encoder,
            });
        }
        let own = avro_schema(schema, topic)?;
        let encoder = AvroEncoder::new(schema, &own)?;
        let id = registry.register(&subject, &own)?;
        Ok(Self::Avro { id, encoder })
    }

    /// Looks at the columns of a batch.
    ///
    /// # Errors
    /// The batch is not of the relation.
    pub(super) fn values<'e>(&'e self, rows: &RecordBatch) -> anyhow::Result<Values<'e>> {
        Ok(match self {
            Self::Json(encoder) => Values::Json(encoder.rows(rows)?),
            Self::Avro { id, encoder } => Values::Avro {
                id: *id,
                rows: encoder.rows(rows)?,
            },
        })
    }
}

impl Values<'_> {
    /// Writes the value of one row.
    ///
    /// # Errors
    /// The row does not fit its schema, with the field.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        out.clear();
        match self {
            Self::Json(rows) => {
                rows.write(row, "", out);
                Ok(())
            }
            Self::Avro { id, rows } => {
                write_frame(*id, out);
                rows.write(row, out)
            }
        }
    }
}

/// Writes keys.
pub(super) enum KeyEncoder {
    /// Messages have no keys.
    None,
    One {
        column: usize,
        content: Content,
    },
    Several {
        columns: Vec<usize>,
        encoder: JsonEncoder,
    },
}

/// The keys of one batch.
pub(super) enum Keys<'e> {
    None,
    One(Cells),
    Several(JsonRows<'e>),
}

impl KeyEncoder {
    /// Makes an encoder of the columns with these places.
    ///
    /// # Errors
    /// A column whose type has no text.
    pub(super) fn new(key: &[usize], schema: &Schema) -> anyhow::Result<Self> {
        Ok(match key {
            [] => Self::None,
            [column] => Self::One {
                column: *column,
                content: crate::format::content_of(schema.field(*column)),
            },
            columns => Self::Several {
                columns: columns.to_vec(),
                encoder: JsonEncoder::new(&Arc::new(schema.project(columns)?), &[])?,
            },
        })
    }

    /// Looks at the key columns of a batch.
    ///
    /// # Errors
    /// The batch is not of the relation.
    pub(super) fn keys<'e>(&'e self, rows: &RecordBatch) -> anyhow::Result<Keys<'e>> {
        Ok(match self {
            Self::None => Keys::None,
            Self::One { column, content } => {
                Keys::One(Cells::of(rows.column(*column), *content, Style::Bare)?)
            }
            Self::Several { columns, encoder } => {
                Keys::Several(encoder.rows(&rows.project(columns)?)?)
            }
        })
    }
}

impl Keys<'_> {
    /// Writes the key of one row; false if it has none, since its one key column is NULL.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        match self {
            Self::None => false,
            Self::One(cells) if cells.is_null(row) => false,
            Self::One(cells) => {
                cells.write(row, out);
                true
            }
            Self::Several(rows) => {
                rows.write(row, "", out);
                true
            }
        }
    }
}
