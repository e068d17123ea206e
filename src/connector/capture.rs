//! Takes the place of a sink: its rows go to a file of lines, or nowhere, instead of the outside world.
//!
//! Used where a record is played, so that nothing is sent twice, and by pipeline tests. It is no connector of
//! the dialect: whoever drives the run puts it into the plan.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::lines::{LineEncoder, LineFormat};
use super::{Changes, Context, Flushed, SinkConnector, SinkWriter};
use crate::batch::array::{ArrayRef, StringArray};
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{Batch, RecordBatch, Schema, Sign};

/// The lines of a sink.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The file, which is made anew; nothing is kept without one.
    pub path: Option<PathBuf>,
    pub format: LineFormat,
    /// Whether rows also go away: a first column then says what each does.
    pub changing: bool,
}

impl SinkConnector for Capture {
    fn changes(&self) -> Changes {
        Changes::Accepted
    }

    fn is_local(&self) -> bool {
        true
    }

    fn open(&self, schema: &Schema, _state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        let schema = match self.changing {
            true => with_op(schema),
            false => Arc::clone(schema),
        };
        let encoder = LineEncoder::new(self.format, &schema)?;
        let file = self.path.as_ref().map(|path| {
            let mut head = Vec::new();
            encoder.header(&mut head)?;
            let made = File::create(path).and_then(|mut file| {
                file.write_all(&head)?;
                Ok(file)
            });
            made.with_context(|| format!("cannot write `{}`", path.display()))
        });
        Ok(Box::new(CaptureWriter {
            file: file.transpose()?,
            encoder,
            schema,
            changing: self.changing,
        }))
    }
}

/// Returns the columns with one in front for what a row does, named `op` unless the relation has that name.
fn with_op(schema: &Schema) -> Schema {
    let taken = |name: &str| {
        let mut fields = schema.fields().iter();
        fields.any(|field| field.name().eq_ignore_ascii_case(name))
    };
    let mut name = "op".to_owned();
    while taken(&name) {
        name.insert(0, '_');
    }
    let op = Arc::new(Field::new(name, DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(op)
        .chain(schema.fields().iter().cloned())
        .collect();
    Arc::new(ArrowSchema::new(fields))
}

struct CaptureWriter {
    file: Option<File>,
    encoder: LineEncoder,
    /// The columns as written.
    schema: Schema,
    changing: bool,
}

impl CaptureWriter {
    fn rows(&self, batch: &Batch) -> anyhow::Result<RecordBatch> {
        if !self.changing {
            return Ok(batch.rows.clone());
        }
        let op = match batch.sign {
            Sign::Insert => "insert",
            Sign::Delete => "delete",
        };
        let ops = std::iter::repeat_n(op, batch.row_count());
        let op: ArrayRef = Arc::new(StringArray::from_iter_values(ops));
        let columns = std::iter::once(op).chain(batch.rows.columns().iter().cloned());
        Ok(RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns.collect(),
        )?)
    }
}

impl SinkWriter for CaptureWriter {
    fn write(&mut self, batch: &Batch, _context: &Context) -> anyhow::Result<()> {
        let rows = self.rows(batch)?;
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut lines = Vec::new();
        self.encoder.encode(&rows, &mut lines, &mut |lines| {
            file.write_all(lines)?;
            lines.clear();
            Ok(())
        })
    }

    fn flush(&mut self, _end: bool, _context: &Context) -> anyhow::Result<Flushed> {
        Ok(Flushed::Durable(None))
    }
}
