//! The sink: one request per row, or per `batch.max_rows` rows.
//!
//! A row is a JSON object (with `changes = 'op'`, its first member `op` is `insert` or `delete`); several
//! rows are a JSON array, or with `encode = 'jsonl'` one object a line. What the other side says:
//!
//! * 2xx: delivered;
//! * a status of `retry.codes`, or no answer: tried again, and after the last attempt an error, upon which
//!   the runtime starts again from the last durable position;
//! * 401, 403, 404, 405, 407, and a redirect that is not followed: an error as well. These are about the
//!   address or the credentials, so the next row would meet the same, and none must be lost by it;
//! * any other status: the rows of that request are rejected, and the sink goes on.

use std::sync::Arc;

use ureq::http::{HeaderValue, header};

use super::client::{Client, Wanted};
use super::request::{RequestTemplate, Role};
use super::wire::{Answer, Failure};
use crate::batch::{Batch, Reject, Schema};
use crate::connector::changes::ChangeForm;
use crate::connector::{Changes, Context, Event, Flushed, SinkConnector, SinkWriter};
use crate::diagnostic::Diagnostic;
use crate::format::JsonEncoder;
use crate::options::Options;

/// Statuses that say nothing about the row, besides redirects.
const NOT_OF_THE_ROW: &[u16] = &[401, 403, 404, 405, 407];

/// A request is sent when its rows reach this size, however few they are: a usual server's limit is a
/// few megabytes more.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The rows after which the position is written, if they were sent one by one: after a failure about as many are
/// sent again.
const ROWS_PER_POSITION: usize = 100;

/// A writer has one thread, so one connection is enough; the second is for a token.
const CONNECTIONS: usize = 2;

/// How the rows of one request are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The object itself; for one row per request.
    Object,
    Array,
    Lines,
}

/// Takes the options of an `http` sink of a relation with that schema.
pub(super) fn sink(options: &mut Options<'_>, schema: &Schema) -> Option<Box<dyn SinkConnector>> {
    let client = Client::take(options, &[], Role::Write, CONNECTIONS);
    let changes = ChangeForm::take(options, schema);
    let batch_rows = options.count("batch.max_rows").unwrap_or(1);
    let encode_key = options.key_span("encode");
    let lines = options
        .one_of("encode", &[("json", false), ("jsonl", true)])
        .unwrap_or(false);
    let written = changes.schema(schema);
    if let Err(error) = JsonEncoder::new(&written, &[]) {
        let place = encode_key.unwrap_or(options.span());
        options.fault(Diagnostic::new(
            place,
            format!("the rows cannot be written as JSON: {error:#}"),
        ));
    }
    let (client, template) = client?;
    let form = match (lines, batch_rows) {
        (true, _) => Form::Lines,
        (false, 1) => Form::Object,
        (false, _) => Form::Array,
    };
    let target = Target {
        client,
        template,
        form,
        batch_rows: usize::try_from(batch_rows).unwrap_or(usize::MAX),
    };
    Some(Box::new(HttpSink {
        target: Arc::new(target),
        changes,
    }))
}

struct HttpSink {
    target: Arc<Target>,
    changes: ChangeForm,
}

impl SinkConnector for HttpSink {
    fn changes(&self) -> Changes {
        self.changes.accepted()
    }

    fn open(&self, schema: &Schema, _state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        let written = self.changes.schema(schema);
        Ok(Box::new(HttpWriter {
            target: Arc::clone(&self.target),
            changes: self.changes,
            encoder: JsonEncoder::new(&written, &[])?,
            written,
            rows: Vec::new(),
            bytes: 0,
        }))
    }
}

/// Where the rows go.
struct Target {
    client: Client,
    template: RequestTemplate,
    form: Form,
    batch_rows: usize,
}

struct HttpWriter {
    target: Arc<Target>,
    changes: ChangeForm,
    encoder: JsonEncoder,
    written: Schema,
    /// Rows of the request that is being filled, as JSON.
    rows: Vec<Vec<u8>>,
    bytes: usize,
}

impl SinkWriter for HttpWriter {
    fn write(&mut self, batch: &Batch, context: &Context) -> anyhow::Result<()> {
        let written = self.changes.rows(batch, &self.written)?;
        let encoder = self.encoder.clone();
        let rows = encoder.rows(&written)?;
        for index in 0..written.num_rows() {
            let mut row = Vec::new();
            rows.write(index, "", &mut row);
            self.bytes += row.len();
            self.rows.push(row);
            if self.rows.len() >= self.target.batch_rows || self.bytes >= BATCH_BYTES_MAX {
                self.send(context)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, _end: bool, context: &Context) -> anyhow::Result<Flushed> {
        self.send(context)?;
        Ok(Flushed::Durable(None))
    }

    fn rows_max(&self) -> u64 {
        self.target.batch_rows.max(ROWS_PER_POSITION) as u64
    }
}

impl HttpWriter {
    fn send(&mut self, context: &Context) -> anyhow::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let target = &self.target;
        let mut request = target.template.bind(&[])?;
        if !target.template.has_header(&header::CONTENT_TYPE) {
            let kind = match target.form {
                Form::Object | Form::Array => "application/json",
                Form::Lines => "application/x-ndjson",
            };
            request.set_header(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        request.body = Some(target.form.join(&self.rows));
        let wanted = Wanted {
            answer: Answer::Ignored,
            statuses: &[],
        };
        match target.client.send(&request, wanted, context, |_| Ok(())) {
            Ok(()) => {}
            Err(Failure::Refused { status, message }) if is_of_the_row(status) => {
                for row in &self.rows {
                    context.report(Event::Reject(Reject {
                        message: message.clone(),
                        payload: String::from_utf8_lossy(row).into_owned(),
                    }));
                }
            }
            Err(failure) => return Err(failure.into_error()),
        }
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn is_of_the_row(status: u16) -> bool {
    !(300..400).contains(&status) && !NOT_OF_THE_ROW.contains(&status)
}

impl Form {
    fn join(self, rows: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Object => rows.concat(),
            Self::Array => [b"[".as_slice(), &rows.join(&b','), b"]"].concat(),
            Self::Lines => [rows.join(&b'\n').as_slice(), b"\n"].concat(),
        }
    }
}
