//! The `stdout` sink: each row is one line, a JSON object or a CSV record.
//!
//! The only file besides the command line that writes to stdout. Lines are whole: a piece of lines is
//! handed over in one call under stdout's lock, so sinks that run at the same time do not mix theirs.
//! At least once: after an error the rows since the last flush come again.
//!
//! A reader that went away (`omlsp run … | head`) is an error with a [`std::io::Error`] of the kind
//! [`std::io::ErrorKind::BrokenPipe`] in its chain; no retry can help against it.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;

use super::changes::ChangeForm;
use super::lines::{LineEncoder, LineFormat};
use super::{Changes, Connector, Context, Event, Flushed, SinkConnector, SinkWriter};
use crate::batch::{Batch, Schema};
use crate::diagnostic::Diagnostic;
use crate::options::Options;

pub const CONNECTOR: Connector = Connector {
    name: "stdout",
    aliases: &[],
    source: None,
    lookup: None,
    sink: Some(sink),
    includes: false,
};

/// Lines held back until the next flush: large enough that a write costs nothing beside the encoding.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

struct StdoutSink {
    format: LineFormat,
    changes: ChangeForm,
}

fn sink(options: &mut Options<'_>, schema: &Schema) -> Option<Box<dyn SinkConnector>> {
    let place = options.key_span("encode").unwrap_or(options.span());
    let formats = [("json", LineFormat::Json), ("csv", LineFormat::Csv)];
    let format = options
        .one_of("encode", &formats)
        .unwrap_or(LineFormat::Json);
    let changes = ChangeForm::take(options, schema);
    if !schema.fields().is_empty()
        && let Err(error) = LineEncoder::new(format, &changes.schema(schema))
    {
        options.fault(Diagnostic::new(place, format!("{error:#}")));
        return None;
    }
    Some(Box::new(StdoutSink { format, changes }))
}

impl SinkConnector for StdoutSink {
    fn changes(&self) -> Changes {
        self.changes.accepted()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn open(&self, schema: &Schema, _state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        let writer = StdoutWriter::new(self, schema, Box::new(std::io::stdout()))?;
        Ok(Box::new(writer))
    }
}

struct StdoutWriter {
    encoder: LineEncoder,
    changes: ChangeForm,
    /// The columns as written.
    schema: Schema,
    /// Whole lines only.
    buffer: Vec<u8>,
    /// True until the first row: the header of CSV waits for it.
    fresh: bool,
    stdout: Box<dyn Write + Send>,
}

impl StdoutWriter {
    fn new(
        sink: &StdoutSink,
        schema: &Schema,
        stdout: Box<dyn Write + Send>,
    ) -> anyhow::Result<Self> {
        let schema = sink.changes.schema(schema);
        Ok(Self {
            encoder: LineEncoder::new(sink.format, &schema)?,
            changes: sink.changes,
            schema: Arc::clone(&schema),
            buffer: Vec::new(),
            fresh: true,
            stdout,
        })
    }
}

impl SinkWriter for StdoutWriter {
    fn write(&mut self, batch: &Batch, context: &Context) -> anyhow::Result<()> {
        if batch.row_count() == 0 {
            return Ok(());
        }
        let rows = self.changes.rows(batch, &self.schema)?;
        if self.fresh {
            self.encoder.header(&mut self.buffer)?;
            self.fresh = false;
        }
        let stdout = &mut self.stdout;
        self.encoder.encode(&rows, &mut self.buffer, &mut |buffer| {
            if buffer.len() < BUFFER_BYTES_MAX {
                return Ok(());
            }
            put(stdout, buffer, context)
        })
    }

    fn flush(&mut self, _end: bool, context: &Context) -> anyhow::Result<Flushed> {
        put(&mut self.stdout, &mut self.buffer, context)?;
        Ok(Flushed::Durable(None))
    }
}

/// Writes the buffer's lines in one call and empties it.
fn put(stdout: &mut dyn Write, buffer: &mut Vec<u8>, context: &Context) -> anyhow::Result<()> {
    if buffer.is_empty() {
        return Ok(());
    }
    stdout
        .write_all(buffer)
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")?;
    let bytes = u64::try_from(buffer.len()).expect("a length in memory fits 64 bits");
    context.report(Event::Bytes(bytes));
    buffer.clear();
    Ok(())
}

#[cfg(test)]
mod tests;
