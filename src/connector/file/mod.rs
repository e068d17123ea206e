//! The `file` sink: rows in numbered files, each of them complete or absent.
//!
//! `path` names the files: `{n}` in the file name is replaced by the number of the file in six digits;
//! without `{n}` the number comes before the extension (`out/trades.json` writes
//! `out/trades-000001.json`, `out/trades-000002.json`, …). Directories are created. A relative path
//! counts from the working directory.
//!
//! **Exactly once.** A file is written under a hidden temporary name, synced, and then renamed. The state
//! kept with the sink's position is the number of the next file. After a crash the rows since the last
//! durable flush come again and are written under the same number, over what a lost commit may have left
//! there, so no row is ever in two files. A sink without a state begins at 1 and replaces what it meets,
//! with a warning.

mod body;
mod disk;
mod name;
mod writer;

use std::time::Duration;

use super::changes::ChangeForm;
use super::{Changes, Connector, SinkConnector, SinkWriter};
use crate::batch::Schema;
use crate::diagnostic::Diagnostic;
use crate::options::{Options, Text};
use body::FileFormat;
use name::FileNames;
use writer::FileWriter;

pub const CONNECTOR: Connector = Connector {
    name: "file",
    aliases: &[],
    source: None,
    lookup: None,
    sink: Some(sink),
    includes: false,
};

/// A file is closed at the first flush at which it is this large.
const ROLL_SIZE_DEFAULT: u64 = 64 * 1024 * 1024;

/// A file is closed at the first flush at which its first row is this old.
const ROLL_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// A file sink whose options are validated.
#[derive(Clone, Debug)]
struct FileSink {
    names: FileNames,
    format: FileFormat,
    changes: ChangeForm,
    roll_size: u64,
    roll_interval: Duration,
}

fn sink(options: &mut Options<'_>, schema: &Schema) -> Option<Box<dyn SinkConnector>> {
    let path = options.required_text("path");
    let encode_place = options.key_span("encode");
    let format = options.one_of("encode", &FileFormat::NAMES);
    let changes = ChangeForm::take(options, schema);
    let roll_size = options.size("roll.size").unwrap_or(ROLL_SIZE_DEFAULT);
    let roll_interval = options
        .duration("roll.interval")
        .unwrap_or(ROLL_INTERVAL_DEFAULT);
    let path = path?;
    let names = take_names(options, &path)?;
    let format = format.unwrap_or_else(|| FileFormat::of_extension(names.extension()));
    if !schema.fields().is_empty()
        && let Err(error) = format.check(&changes.schema(schema))
    {
        let place = encode_place.unwrap_or(path.span);
        options.fault(Diagnostic::new(place, format!("{error:#}")));
        return None;
    }
    Some(Box::new(FileSink {
        names,
        format,
        changes,
        roll_size,
        roll_interval,
    }))
}

fn take_names(options: &mut Options<'_>, path: &Text) -> Option<FileNames> {
    match FileNames::parse(path.expose()) {
        Ok(names) => Some(names),
        Err(fault) => {
            let place = path.part(fault.start, fault.end);
            options.fault(Diagnostic::new(place, fault.message).help(fault.help));
            None
        }
    }
}

impl SinkConnector for FileSink {
    fn changes(&self) -> Changes {
        self.changes.accepted()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn claims(&self) -> Option<String> {
        Some(self.names.pattern())
    }

    fn open(&self, schema: &Schema, state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        Ok(Box::new(FileWriter::open(self.clone(), schema, state)?))
    }
}

#[cfg(test)]
mod tests;
