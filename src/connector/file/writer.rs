//! The open file sink: when a file begins, when it ends, and how it appears under its name.
//!
//! Called by the runtime through [`SinkWriter`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::FileSink;
use super::body::Body;
use crate::batch::{Batch, Schema};
use crate::connector::{Context, Event, Flushed, SinkWriter};

/// The number of the first file of a sink.
const FIRST: u64 = 1;

/// What a row may take in a file that has none yet.
const ROW_BYTES_GUESS: u64 = 1024;

/// What is kept with the sink's position.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The number of the next file.
    next: u64,
}

pub(super) struct FileWriter {
    sink: FileSink,
    /// The columns as written.
    schema: Schema,
    state: State,
    /// The one file that a lost commit may have left: any other that exists already is not ours.
    rewritten: Option<u64>,
    open: Option<OpenFile>,
}

/// The file that rows are added to: it has at least one.
struct OpenFile {
    body: Body,
    rows: u64,
    temporary: Temporary,
    since: DateTime<Utc>,
}

/// Removes the temporary file of a writer that ends without finishing it.
struct Temporary(Option<PathBuf>);

impl FileWriter {
    /// Goes on after the last finished file: creates the directory, removes what a crash left of the next
    /// file, and makes sure that a file can be written.
    ///
    /// # Errors
    /// A directory that cannot be created or written, or a state that is not ours.
    pub(super) fn open(
        sink: FileSink,
        schema: &Schema,
        state: Option<&str>,
    ) -> anyhow::Result<Self> {
        let kept: Option<State> = (state.map(serde_json::from_str).transpose())
            .with_context(|| format!("the state of the file sink is not readable: {state:?}"))?;
        let rewritten = kept.as_ref().map(|state| state.next);
        let state = kept.unwrap_or(State { next: FIRST });
        let directory = sink.names.directory();
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create the directory `{}`", directory.display()))?;
        let probe = sink.names.temporary(state.next);
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .with_context(|| format!("the directory `{}` is not writable", directory.display()))?;
        let schema = sink.changes.schema(schema);
        Ok(Self {
            sink,
            schema,
            state,
            rewritten,
            open: None,
        })
    }

    fn begin(&self, now: DateTime<Utc>) -> anyhow::Result<OpenFile> {
        let path = self.sink.names.temporary(self.state.next);
        let file =
            File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        let temporary = Temporary(Some(path));
        Ok(OpenFile {
            body: Body::new(self.sink.format, &self.schema, file)?,
            rows: 0,
            temporary,
            since: now,
        })
    }

    /// Ends the open file and gives it its name. Nothing of it is visible before.
    fn finish(&mut self, open: OpenFile, context: &Context) -> anyhow::Result<()> {
        let path = self.sink.names.finished(self.state.next);
        let replaces = self.rewritten != Some(self.state.next) && path.exists();
        let written = open.body.finish();
        let bytes = written.with_context(|| format!("cannot write `{}`", path.display()))?;
        open.temporary.keep_as(&path)?;
        if replaces {
            let message = format!(
                "`{}` was there before this sink and is replaced",
                path.display()
            );
            context.report(Event::Warning(message));
        }
        if self.rewritten.is_none() && self.state.next == FIRST {
            self.tell_of_others(context);
        }
        let directory = self.sink.names.directory();
        // The name itself must be on the disk before the position says that the rows are.
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .with_context(|| format!("cannot sync the directory `{}`", directory.display()))?;
        context.report(Event::Bytes(bytes));
        self.state.next += 1;
        Ok(())
    }
}

impl FileWriter {
    /// Reports files of higher numbers: they are of an earlier sink, and whoever reads them all has their rows too.
    fn tell_of_others(&self, context: &Context) {
        let Ok(entries) = fs::read_dir(self.sink.names.directory()) else {
            return;
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let number = |name: OsString| self.sink.names.number_of(name.to_str()?);
        let numbers: Vec<u64> = names
            .filter_map(number)
            .filter(|number| *number > FIRST)
            .collect();
        if let Some(first) = numbers.iter().min() {
            let (path, count) = (self.sink.names.finished(*first), numbers.len());
            let message = format!(
                "`{}` was there before this sink ({count} such files in all): until one of its own has the same number, \
                 it stays beside them; remove what is not wanted",
                path.display()
            );
            context.report(Event::Warning(message));
        }
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, batch: &Batch, context: &Context) -> anyhow::Result<()> {
        if batch.row_count() == 0 {
            return Ok(());
        }
        let rows = self.sink.changes.rows(batch, &self.schema)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(context.now())?,
        };
        open.body
            .write(&rows)
            .with_context(|| format!("cannot write file {} of the sink", self.state.next))?;
        open.rows += rows.num_rows() as u64;
        self.open = Some(open);
        Ok(())
    }

    /// Ends the file at most once per call and only here, so that at most one finished file is not yet in
    /// the state when the process dies.
    fn flush(&mut self, end: bool, context: &Context) -> anyhow::Result<Flushed> {
        if let Some(open) = self.open.take() {
            let full = open.body.size() >= self.sink.roll_size;
            let age = (context.now() - open.since).to_std().unwrap_or_default();
            if !(end || full || age >= self.sink.roll_interval) {
                self.open = Some(open);
                return Ok(Flushed::Pending);
            }
            self.finish(open, context)?;
        }
        let state = serde_json::to_string(&self.state).expect("a number serializes");
        Ok(Flushed::Durable(Some(state)))
    }

    /// As many as the file may still take.
    fn rows_max(&self) -> u64 {
        let (size, rows) = match &self.open {
            Some(open) => (open.body.size(), open.rows),
            None => (0, 0),
        };
        let row_bytes = size.checked_div(rows).unwrap_or(ROW_BYTES_GUESS);
        let room = self.sink.roll_size.saturating_sub(size);
        (room / row_bytes.max(1)).max(1)
    }
}

impl Temporary {
    fn keep_as(mut self, path: &std::path::Path) -> anyhow::Result<()> {
        if let Some(temporary) = &self.0 {
            fs::rename(temporary, path).with_context(|| {
                format!("cannot rename a finished file to `{}`", path.display())
            })?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = &self.0 else { return };
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot remove an unfinished file");
            }
        }
    }
}
