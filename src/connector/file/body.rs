//! The content of one file: JSON lines, CSV or Parquet, streamed to disk.
//!
//! Knows nothing of file names and of when a file ends. Called by the writer.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::disk::DiskFile;
use crate::batch::array::new_null_array;
use crate::batch::datatypes::{Field, Schema as ArrowSchema};
use crate::batch::{RecordBatch, Schema};
use crate::connector::lines::{LineEncoder, LineFormat};

/// What a file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFormat {
    Lines(LineFormat),
    Parquet,
}

/// A row group is what Parquet holds in memory until it is written: both bounds keep it small beside
/// everything else, and large enough for readers that skip by row group.
const ROW_GROUP_ROWS_MAX: usize = 128 * 1024;
const ROW_GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Encoded text that is handed to the file in one call.
const PIECE_BYTES: usize = 64 * 1024;

impl FileFormat {
    pub(super) const NAMES: [(&'static str, Self); 3] = [
        ("json", Self::Lines(LineFormat::Json)),
        ("csv", Self::Lines(LineFormat::Csv)),
        ("parquet", Self::Parquet),
    ];

    /// Returns the format that a file's extension stands for; JSON for one that says nothing.
    pub(super) fn of_extension(extension: &str) -> Self {
        match extension.to_lowercase().as_str() {
            "csv" => Self::Lines(LineFormat::Csv),
            "parquet" | "pq" => Self::Parquet,
            _ => Self::Lines(LineFormat::Json),
        }
    }

    /// Says whether every column of the schema can be written.
    ///
    /// # Errors
    /// The first column that cannot.
    pub(super) fn check(self, schema: &Schema) -> anyhow::Result<()> {
        match self {
            Self::Lines(format) => LineEncoder::new(format, schema).map(drop),
            Self::Parquet => schema
                .fields()
                .iter()
                .try_for_each(|field| check_parquet(field)),
        }
    }
}

/// Writes a NULL of the field's type to memory: some types are refused only by their first value.
fn check_parquet(field: &Field) -> anyhow::Result<()> {
    let nullable = field.clone().with_nullable(true);
    let schema: Schema = Arc::new(ArrowSchema::new(vec![nullable]));
    let null = new_null_array(field.data_type(), 1);
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![null])?;
    parquet_writer(Vec::new(), &schema)
        .and_then(|mut writer| Ok(writer.write(&rows)?))
        .with_context(|| format!("column `{}` cannot be written as Parquet", field.name()))
}

/// A file while rows are added.
pub(super) enum Body {
    Lines {
        encoder: LineEncoder,
        file: DiskFile,
        /// Whole lines that are not yet in `file`.
        buffer: Vec<u8>,
    },
    Parquet(Box<ArrowWriter<DiskFile>>),
}

impl Body {
    /// Begins a file of the given columns.
    ///
    /// # Errors
    /// As [`FileFormat::check`], or the file refused the first bytes.
    pub(super) fn new(format: FileFormat, schema: &Schema, file: File) -> anyhow::Result<Self> {
        let file = DiskFile::new(file);
        let format = match format {
            FileFormat::Parquet => {
                return Ok(Self::Parquet(Box::new(parquet_writer(file, schema)?)));
            }
            FileFormat::Lines(format) => format,
        };
        let encoder = LineEncoder::new(format, schema)?;
        let mut buffer = Vec::with_capacity(PIECE_BYTES);
        encoder.header(&mut buffer)?;
        Ok(Self::Lines {
            encoder,
            file,
            buffer,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The file refused, such as a full disk.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> anyhow::Result<()> {
        match self {
            Self::Parquet(writer) => Ok(writer.write(rows)?),
            Self::Lines {
                encoder,
                file,
                buffer,
            } => encoder.encode(rows, buffer, &mut |buffer| {
                if buffer.len() >= PIECE_BYTES {
                    file.write_all(buffer)?;
                    buffer.clear();
                }
                Ok(())
            }),
        }
    }

    /// Returns the size of the file as if it ended here; for Parquet an estimate.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Lines { file, buffer, .. } => file.bytes() + buffer.len() as u64,
            Self::Parquet(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
        }
    }

    /// Ends the file and waits until it is on the disk. Returns its size.
    ///
    /// # Errors
    /// The file refused, such as a full disk.
    pub(super) fn finish(self) -> anyhow::Result<u64> {
        let file = match self {
            Self::Parquet(writer) => writer.into_inner()?,
            Self::Lines {
                mut file, buffer, ..
            } => {
                file.write_all(&buffer)?;
                file
            }
        };
        Ok(file.finish()?)
    }
}

fn parquet_writer<W: Write + Send>(out: W, schema: &Schema) -> anyhow::Result<ArrowWriter<W>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .build();
    Ok(ArrowWriter::try_new(
        out,
        Arc::clone(schema),
        Some(properties),
    )?)
}
