//! Rows as lines of text: one JSON object a line, or CSV with a header.
//!
//! Knows nothing of where the lines go. Called by the stdout and file sinks, and by the
//! capture that stands in the place of other sinks in a replay.

use crate::batch::{RecordBatch, Schema};
use crate::format::{CsvEncoder, JsonEncoder};

/// The text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    Json,
    Csv,
}

/// Rows per piece: a piece of usual rows stays well below a megabyte, so that no batch, however large,
/// is held a second time as text.
const PIECE_ROWS: usize = 1024;

/// Encodes the rows of one relation.
pub enum LineEncoder {
    Json(JsonEncoder),
    Csv(CsvEncoder),
}

impl LineEncoder {
    /// Makes an encoder of rows with these columns; the texts of fields with Arrow's extension type
    /// `arrow.json` are JSON already.
    ///
    /// # Errors
    /// A column whose type the format cannot write.
    pub fn new(format: LineFormat, schema: &Schema) -> anyhow::Result<Self> {
        Ok(match format {
            LineFormat::Json => Self::Json(JsonEncoder::new(schema, &[])?),
            LineFormat::Csv => Self::Csv(CsvEncoder::new(schema)?),
        })
    }

    /// Appends what comes before the first row: the header line of CSV, nothing for JSON.
    ///
    /// # Errors
    /// The encoder's, none that names of columns can cause.
    pub fn header(&self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Json(_) => Ok(()),
            Self::Csv(encoder) => encoder.header(out),
        }
    }

    /// Encodes rows piece by piece: appends whole lines to `out` and calls `put` after each piece, which
    /// may write `out` away and clear it.
    ///
    /// # Errors
    /// A value that has no text form, or an error of `put`, passed on unchanged.
    pub fn encode(
        &self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        put: &mut dyn FnMut(&mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for start in (0..rows.num_rows()).step_by(PIECE_ROWS) {
            let piece = rows.slice(start, PIECE_ROWS.min(rows.num_rows() - start));
            match self {
                Self::Json(encoder) => encoder.encode_lines(&piece, out)?,
                Self::Csv(encoder) => encoder.encode_lines(&piece, out)?,
            }
            put(out)?;
        }
        Ok(())
    }
}
