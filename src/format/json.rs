//! Batches to JSON, one object a line.
//!
//! How types are written:
//! * integers, `HUGEINT` and `DECIMAL`: numbers with all their digits (`1.10`)
//! * `FLOAT`, `DOUBLE`: the shortest number that reads back as the same 32-bit or 64-bit float, `1.0` where
//!   integral; NaN and infinities are `null`
//! * `TIMESTAMP` in all its units: `"2024-01-02T03:04:05.678Z"`; the fraction has 3, 6 or 9 digits, as few as
//!   hold it, and is absent when zero; `DATE`: `"2024-01-02"`; `TIME`: `"03:04:05.678"`
//! * lists, structs and maps: arrays and objects; a map whose keys are no texts is an array of
//!   `{"key": …, "value": …}`
//! * `BLOB`: base64; `ENUM`: its text; `JSON`: as it is
//! * NULL: `null`, never left out

use crate::batch::{RecordBatch, Schema};

use super::cell::{Cells, Content, Style, content_of, write_text};

/// Writes batches of one schema. Shared by threads.
#[derive(Clone, Debug)]
pub struct JsonEncoder {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// `"name":`
    head: Vec<u8>,
    content: Content,
}

impl JsonEncoder {
    /// Makes an encoder. The texts of `json_columns`, and of fields with Arrow's extension type `arrow.json`,
    /// are JSON already.
    ///
    /// # Errors
    /// A column's type cannot be written.
    pub fn new(schema: &Schema, json_columns: &[&str]) -> anyhow::Result<Self> {
        let members = schema.fields().iter().map(|field| {
            let mut head = Vec::new();
            write_text(field.name(), &mut head);
            head.push(b':');
            let listed = json_columns
                .iter()
                .any(|name| name.eq_ignore_ascii_case(field.name()));
            Member {
                head,
                content: if listed {
                    Content::Json
                } else {
                    content_of(field)
                },
            }
        });
        let encoder = Self {
            members: members.collect(),
        };
        // Whatever cannot be written is found before the first row.
        encoder.rows(&RecordBatch::new_empty(schema.clone()))?;
        Ok(encoder)
    }

    /// Looks at the columns of a batch, for writing rows one by one.
    ///
    /// # Errors
    /// The batch is not of the encoder's schema.
    pub fn rows<'e>(&'e self, batch: &RecordBatch) -> anyhow::Result<JsonRows<'e>> {
        anyhow::ensure!(
            batch.num_columns() == self.members.len(),
            "the batch has {} columns, the encoder {}",
            batch.num_columns(),
            self.members.len()
        );
        let mut cells = Vec::with_capacity(self.members.len());
        for (member, column) in self.members.iter().zip(batch.columns()) {
            cells.push(Cells::of(column, member.content, Style::Json)?);
        }
        Ok(JsonRows {
            members: &self.members,
            cells,
        })
    }

    /// Appends one row as an object, without a line break. For more than one row of a batch, [`Self::rows`]
    /// looks at its columns only once.
    ///
    /// # Errors
    /// As for [`Self::rows`].
    pub fn encode(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.rows(batch)?.write(row, "", out);
        Ok(())
    }

    /// Appends every row as an object with a line break.
    ///
    /// # Errors
    /// As for [`Self::rows`].
    pub fn encode_lines(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.encode_lines_with(batch, "", out)
    }

    /// Appends every row with constant members in front of its own, such as `"op":"insert"`.
    ///
    /// # Errors
    /// As for [`Self::rows`].
    pub fn encode_lines_with(
        &self,
        batch: &RecordBatch,
        constant: &str,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let rows = self.rows(batch)?;
        for row in 0..batch.num_rows() {
            rows.write(row, constant, out);
            out.push(b'\n');
        }
        Ok(())
    }
}

/// The rows of one batch, ready to be written.
pub struct JsonRows<'e> {
    members: &'e [Member],
    cells: Vec<Cells>,
}

impl JsonRows<'_> {
    /// Appends one row as an object. `constant` is empty, or members to put in front, without a comma after.
    pub fn write(&self, row: usize, constant: &str, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(constant.as_bytes());
        let mut first = constant.is_empty();
        for (member, cells) in self.members.iter().zip(&self.cells) {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(&member.head);
            cells.write_or_null(row, out);
        }
        out.push(b'}');
    }
}

/// Returns the one row of a batch as JSON, for people.
pub fn row_json(rows: &RecordBatch) -> String {
    let mut line = Vec::new();
    let encoder = JsonEncoder::new(rows.schema_ref(), &[]);
    if let Err(error) = encoder.and_then(|encoder| encoder.encode_lines(rows, &mut line)) {
        return error.to_string();
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
