//! What a connector is: the traits, and the registry slice.
//!
//! A connector turns options into a validated description of an outside system, and that into a reader
//! or writer. It never names the runtime, the engine or the catalog: it is called with blocking calls on
//! a thread of the pool, hands over what it read, and is told when to stop.
//!
//! **A new connector is one file (or folder) and one line in [`CONNECTORS`].**

mod addresses;
mod agents;
mod authorities;
pub mod capture;
mod changes;
mod context;
mod file;
mod generate;
mod http;
mod kafka;
pub mod lines;
mod row_options;
pub mod schedule;
mod stdout;
#[cfg(test)]
mod testing;
mod unknown;
mod ws;

pub use context::{Clock, Context, Event, QueryRows, Stop, Stopped};
pub use unknown::Unknown;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::batch::{Batch, Column, Decoded, RecordBatch, Schema};
use crate::diagnostic::Span;
use crate::options::{Options, Text};
use crate::sql::IncludeWhat;

/// Makes a source of options; `None` after it noted a fault.
pub type MakeSource = fn(&mut Options<'_>, &Declared) -> Option<Box<dyn SourceConnector>>;

/// Makes a lookup of options; `None` after it noted a fault.
pub type MakeLookup = fn(&mut Options<'_>, &Declared) -> Option<Box<dyn LookupConnector>>;

/// Makes a sink of options, for rows of the given schema; `None` after it noted a fault. A schema without columns is one
/// that is not known: then only the options matter.
pub type MakeSink = fn(&mut Options<'_>, &Schema) -> Option<Box<dyn SinkConnector>>;

/// One kind of outside system. A role that is `None` does not exist for it.
pub struct Connector {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub source: Option<MakeSource>,
    pub lookup: Option<MakeLookup>,
    pub sink: Option<MakeSink>,
    /// Whether its sources fill the columns of `INCLUDE`.
    pub includes: bool,
}

/// Every connector there is, in the order they are named in messages.
pub static CONNECTORS: &[Connector] = &[
    http::HTTP,
    http::LOOKUP_HTTP,
    kafka::CONNECTOR,
    ws::CONNECTOR,
    generate::CONNECTOR,
    stdout::CONNECTOR,
    file::CONNECTOR,
];

/// Returns the connector of that name or alias, compared without regard to case.
pub fn find(name: &str) -> Option<&'static Connector> {
    let name = name.to_lowercase();
    CONNECTORS
        .iter()
        .find(|connector| connector.name == name || connector.aliases.contains(&name.as_str()))
}

/// What the statement declares, as far as a connector fills it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The columns that come from outside, in order; generated ones are not among them.
    pub columns: Vec<Column>,
    /// The columns of `INCLUDE`, in order; empty unless [`Connector::includes`]. In the rows of a delivery
    /// they stand after the others.
    pub included: Vec<Included>,
    /// The `$param`s of a lookup, in order; empty elsewhere.
    pub params: Vec<Column>,
    /// The column list, for second labels.
    pub columns_span: Span,
    /// The place of the name of each column and param.
    pub places: Vec<(String, Span)>,
}

impl Declared {
    /// Returns the place of a column's or param's name, or of the whole list if it is not in it.
    pub fn place(&self, name: &str) -> Span {
        let found = self.places.iter().find(|(known, _)| known == name);
        found.map_or(self.columns_span, |(_, span)| *span)
    }
}

/// A column made of what a message carries beside its rows.
#[derive(Clone, Debug)]
pub struct Included {
    pub what: IncludeWhat,
    /// Of the type that the part has: `Utf8` or `Binary` for a key or header, `Int32`, `Int64`, or a
    /// timestamp in microseconds.
    pub column: Column,
}

/// When the runtime calls [`SourceReader::read`].
#[derive(Clone, Debug)]
pub enum Cadence {
    /// At each instant of a schedule.
    Scheduled(Schedule),
    /// Again as soon as the last call returned; the reader itself waits for data, a second at most. After the
    /// signal to stop it is called once more, to deliver what it has received.
    Continuous,
}

/// The instants at which a polled source is due.
#[derive(Clone, Debug)]
pub enum Schedule {
    Cron {
        cron: Box<croner::Cron>,
        timezone: chrono_tz::Tz,
    },
    Interval(std::time::Duration),
}

/// A tick that comes while the last poll still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    Skip,
    /// One waits; a second one is skipped.
    Queue,
}

/// What a row that does not fit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    #[default]
    DeadLetter,
    Skip,
    Fail,
}

/// A source whose options are validated.
pub trait SourceConnector: Send + Sync {
    fn cadence(&self) -> (Cadence, Overlap);

    fn on_error(&self) -> OnError;

    /// Returns the query over other entities that decides what the source connects to, for the plan to
    /// bind and run; `None` for a source that needs none.
    fn start_query(&self) -> Option<&StartQuery> {
        None
    }

    /// Says whether the source never comes to an end by itself, so that a run which reads everything once
    /// leaves it out.
    fn endless(&self) -> bool {
        false
    }

    /// Opens a reader that goes on from `cursor`, the text that came with the last committed
    /// [`Delivery`]; `None` at the very first start. It may connect already, unless the context has a record
    /// to play.
    ///
    /// # Errors
    /// The outside world refused; the runtime retries with backoff.
    fn open(
        &self,
        cursor: Option<&str>,
        context: &Context,
    ) -> anyhow::Result<Box<dyn SourceReader>>;
}

/// A query whose rows a source starts from, one connection each.
#[derive(Clone, Debug)]
pub struct StartQuery {
    pub text: Text,
    /// The columns that the source reads of each row, with the place of each use.
    pub columns: Vec<(String, Span)>,
    /// Each `$name` where no column is put in; it may be meant as it is, unless the query has a column of that
    /// name.
    pub kept: Vec<(String, Span)>,
}

/// Rows from outside, to be committed together with the cursor after them.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub decoded: Decoded,
    /// More rows than this become several batches, committed together.
    pub batch_rows_max: usize,
    /// The instant the rows belong to: the scheduled one of a tick, or that of receipt.
    pub trigger: DateTime<Utc>,
    /// Where to go on after these rows; `None` leaves the stored cursor as it is.
    pub cursor: Option<String>,
}

/// What a [`SourceReader::read`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// This tick is done, more may come.
    Idle,
    /// The source has ended for good.
    Finished,
}

/// An open source. Blocking; one thread at a time.
pub trait SourceReader: Send {
    /// Reads what is due at `tick` and hands each piece to `emit`, which returns after it is committed; of one without
    /// a cursor perhaps after the one before it is, and the rest before the next call.
    /// A continuous source ignores the instant and waits at most a second for data.
    ///
    /// # Errors
    /// After the connector's own retries; also an error of `emit` or [`Stop`], passed on unchanged.
    fn read(
        &mut self,
        tick: DateTime<Utc>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd>;
}

/// A lookup whose options are validated. Shared by every thread that asks.
pub trait LookupConnector: Send + Sync {
    fn limits(&self) -> LookupLimits;

    /// Asks once, blocking. `params` has one value per declared param, none of them JSON `null`.
    /// Answers zero or more rows of the declared columns.
    ///
    /// # Errors
    /// After the last retry.
    fn request(
        &self,
        params: &[serde_json::Value],
        trigger: DateTime<Utc>,
        context: &Context,
    ) -> anyhow::Result<Decoded>;
}

/// How a lookup may be asked, and what is kept of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupLimits {
    /// Requests in flight, at most.
    pub concurrency: usize,
    pub cache: Option<CacheLimits>,
    /// True for `lookup.on_error = 'fail'`; false makes a failed request an empty answer.
    pub fail: bool,
    /// What an answer's row that does not fit its types does.
    pub on_error: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    pub rows_max: usize,
    pub ttl: std::time::Duration,
    /// Whether empty answers are kept too.
    pub missing: bool,
}

/// A sink whose options are validated.
pub trait SinkConnector: Send + Sync {
    /// Says whether the sink can take deletes. One that cannot refuses a changing relation at validate
    /// time with the advice given here.
    fn changes(&self) -> Changes;

    /// Says whether it writes to this machine only, so that it also works where a record is played.
    fn is_local(&self) -> bool {
        false
    }

    /// Returns what no other sink may write to, if there is such a thing.
    fn claims(&self) -> Option<String> {
        None
    }

    /// Opens a writer that goes on from `state`, the text of the last [`Flushed::Durable`].
    ///
    /// # Errors
    /// The outside world refused; the runtime retries with backoff.
    fn open(&self, schema: &Schema, state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>>;
}

/// Whether a sink takes deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    Accepted,
    Refused { advice: String },
}

/// What became of what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything written so far has arrived; the text is kept with the position.
    Durable(Option<String>),
    /// Some of it is still buffered (a file not yet rolled): the position stays.
    Pending,
}

/// An open sink. Blocking; one thread at a time.
pub trait SinkWriter: Send {
    /// Takes the rows of one batch, in order. May buffer until [`SinkWriter::flush`].
    ///
    /// # Errors
    /// Rows of this or an earlier batch since the last durable flush may not have arrived: the runtime
    /// opens a new writer and sends them all again.
    fn write(&mut self, batch: &Batch, context: &Context) -> anyhow::Result<()>;

    /// Delivers what is buffered. `end` is true when nothing may be held back: at a shutdown, at the end of
    /// all sources, or because enough is held back already; more may be written afterwards.
    ///
    /// # Errors
    /// As for [`SinkWriter::write`].
    fn flush(&mut self, end: bool, context: &Context) -> anyhow::Result<Flushed>;

    /// Returns about how many rows to write before the next flush. A batch is never parted, and what was written
    /// since the last durable flush is written again after a failure.
    fn rows_max(&self) -> u64 {
        u64::MAX
    }
}

/// An empty batch of the given schema, for answers without rows.
pub fn no_rows(schema: &Schema) -> RecordBatch {
    RecordBatch::new_empty(Arc::clone(schema))
}
