//! Batches to CSV (RFC 4180).
//!
//! Values are written as in [`super::json`], but texts without quotes of their own, and nested values as JSON
//! text. NULL is empty, as are NaN and infinities; an empty text is empty too, since CSV knows no difference.
//! Lines end with `\n`, which every reader takes and terminals like better than the standard's `\r\n`.

use crate::batch::{RecordBatch, Schema};

use super::cell::{Cells, Content, Style, content_of};

/// Writes batches of one schema. Shared by threads.
#[derive(Clone, Debug)]
pub struct CsvEncoder {
    columns: Vec<(String, Content)>,
}

impl CsvEncoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// A column's type cannot be written.
    pub fn new(schema: &Schema) -> anyhow::Result<Self> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), content_of(field)));
        let encoder = Self {
            columns: columns.collect(),
        };
        encoder.encode_lines(&RecordBatch::new_empty(schema.clone()), &mut Vec::new())?;
        Ok(encoder)
    }

    /// Appends the line of column names.
    ///
    /// # Errors
    /// None that memory could cause.
    pub fn header(&self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let mut writer = ::csv::Writer::from_writer(out);
        writer.write_record(self.columns.iter().map(|(name, _)| name))?;
        writer.flush()?;
        Ok(())
    }

    /// Appends every row as a record.
    ///
    /// # Errors
    /// The batch is not of the encoder's schema.
    pub fn encode_lines(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> anyhow::Result<()> {
        anyhow::ensure!(
            batch.num_columns() == self.columns.len(),
            "the batch has {} columns, the encoder {}",
            batch.num_columns(),
            self.columns.len()
        );
        let mut cells = Vec::with_capacity(self.columns.len());
        for ((_, content), column) in self.columns.iter().zip(batch.columns()) {
            // JSON is written as it is in both styles.
            cells.push(Cells::of(column, *content, Style::Bare)?);
        }
        let mut writer = ::csv::Writer::from_writer(out);
        let mut field = Vec::new();
        for row in 0..batch.num_rows() {
            for cells in &cells {
                field.clear();
                if !cells.is_null(row) {
                    cells.write(row, &mut field);
                }
                writer.write_field(&field)?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        writer.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
