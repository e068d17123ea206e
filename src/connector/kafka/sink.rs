//! The sink: rows to messages.
//!
//! The producer is idempotent, and one producer lives as long as its writer: while the broker is away the
//! messages wait in it and keep their numbers, so that an outage neither loses nor doubles any, nor changes
//! their order. What a broker refuses about one message (it is too large, say) rejects that row. Since a
//! refused message takes those with it that travelled in the same request, the writer then fails once, and
//! the next one sends its rows one by one until everything has arrived.
//!
//! While rows keep coming the broker is not waited for: its acknowledgements of one batch arrive while the next
//! is written, and the position moves once nothing is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use indexmap::IndexSet;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::client::{Batching, Listener, producer_config, shown, shown_payload};
use super::encode::{KeyEncoder, Keys, ValueEncoder};
use super::options::SinkOptions;
use super::spread::Spread;
use crate::batch::{Batch, RecordBatch, Reject, Schema, Sign};
use crate::connector::{Changes, Context, Event, Flushed, SinkConnector, SinkWriter};

/// How long the writer sleeps between looks at a full queue: some thousand messages leave it meanwhile.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// The first and the longest sleep between looks at messages on their way, while none arrives.
const FLUSH_PAUSE_FIRST: Duration = Duration::from_millis(1);
const FLUSH_PAUSE_MAX: Duration = Duration::from_millis(50);

/// With nothing delivered for so long, the writer says that it is waiting; and again after as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tombstones that wait for an insert of the same key, at most: about what a batch holds.
const TOMBSTONES_MAX: usize = 131_072;

/// A sink whose options are validated.
pub(super) struct KafkaSink {
    options: Arc<SinkOptions>,
    /// A message was refused: the next writer sends one by one.
    one_by_one: Arc<AtomicBool>,
}

impl KafkaSink {
    pub(super) fn new(options: SinkOptions) -> Self {
        Self {
            options: Arc::new(options),
            one_by_one: Arc::default(),
        }
    }
}

impl SinkConnector for KafkaSink {
    /// With a key a delete is a tombstone: a message of that key without a value.
    fn changes(&self) -> Changes {
        if self.options.key.is_empty() {
            let advice = "add `key = '…'` with the columns that identify a row: a delete is then a \
                          message of that key without a value";
            Changes::Refused {
                advice: advice.to_owned(),
            }
        } else {
            Changes::Accepted
        }
    }

    fn open(&self, schema: &Schema, _state: Option<&str>) -> anyhow::Result<Box<dyn SinkWriter>> {
        let options = Arc::clone(&self.options);
        let batching = if self.one_by_one.load(Ordering::Relaxed) {
            Batching::One
        } else {
            Batching::Many
        };
        let mut headers = OwnedHeaders::new_with_capacity(options.headers.len());
        for (key, value) in &options.headers {
            let value = Some(value.expose());
            headers = headers.insert(Header { key, value });
        }
        let encoders = Encoders {
            values: ValueEncoder::new(&options, schema)?,
            keys: KeyEncoder::new(&options.key, schema)?,
        };
        Ok(Box::new(KafkaWriter {
            encoders: Arc::new(encoders),
            outlet: Outlet {
                producer: producer(&options, batching)?,
                headers: (!options.headers.is_empty()).then_some(headers),
                one_by_one: Arc::clone(&self.one_by_one),
                spread: Spread::default(),
                waiting: Waiting::default(),
                now_ms: Utc::now().timestamp_millis(),
                batching,
                options,
            },
            tombstones: IndexSet::new(),
            written: false,
        }))
    }
}

fn producer(options: &SinkOptions, batching: Batching) -> anyhow::Result<BaseProducer<Listener>> {
    let config = producer_config(options, batching);
    let created = config.create_with_context(Listener::default());
    created.map_err(|error| anyhow::anyhow!("the Kafka client refuses its options: {error}"))
}

struct Encoders {
    values: ValueEncoder,
    keys: KeyEncoder,
}

struct KafkaWriter {
    encoders: Arc<Encoders>,
    outlet: Outlet,
    /// Keys deleted and not yet told: an update is a delete and an insert of one key, of which the insert
    /// alone says everything.
    tombstones: IndexSet<Vec<u8>>,
    /// Something was written after the last call of `flush`: more may follow at once.
    written: bool,
}

impl SinkWriter for KafkaWriter {
    fn write(&mut self, batch: &Batch, context: &Context) -> anyhow::Result<()> {
        self.written = true;
        self.outlet.begin(batch.row_count());
        let encoders = Arc::clone(&self.encoders);
        let keys = encoders.keys.keys(&batch.rows)?;
        match batch.sign {
            Sign::Delete => self.delete(batch, &keys, context),
            Sign::Insert => {
                self.tombstones_before(batch, &keys, context)?;
                self.insert(&batch.rows, &keys, context)
            }
        }
    }

    /// Waits for the broker at the end, and where nothing was written since the last call.
    fn flush(&mut self, end: bool, context: &Context) -> anyhow::Result<Flushed> {
        self.send_tombstones(context)?;
        if std::mem::take(&mut self.written) && !end && self.outlet.is_busy(context)? {
            return Ok(Flushed::Pending);
        }
        self.outlet.flush(context)?;
        Ok(Flushed::Durable(None))
    }
}

impl KafkaWriter {
    fn insert(
        &mut self,
        rows: &RecordBatch,
        keys: &Keys<'_>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let encoders = Arc::clone(&self.encoders);
        let values = encoders.values.values(rows)?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for row in 0..rows.num_rows() {
            if let Err(why) = values.write(row, &mut value) {
                context.report(Event::Reject(Reject {
                    message: why,
                    payload: json_of(rows, row),
                }));
                continue;
            }
            let keyed = keys.write(row, &mut key);
            bytes += value.len() + key.len();
            self.outlet
                .send(keyed.then_some(key.as_slice()), Some(&value), context)?;
        }
        context.report(Event::Bytes(bytes as u64));
        self.outlet.check(context)
    }

    fn delete(&mut self, batch: &Batch, keys: &Keys<'_>, context: &Context) -> anyhow::Result<()> {
        for row in 0..batch.row_count() {
            let mut key = Vec::new();
            if !keys.write(row, &mut key) {
                context.report(Event::Reject(Reject {
                    message: "a deleted row whose key is NULL has no tombstone".to_owned(),
                    payload: json_of(&batch.rows, row),
                }));
                continue;
            }
            self.tombstones.insert(key);
            if self.tombstones.len() >= TOMBSTONES_MAX {
                self.send_tombstones(context)?;
            }
        }
        Ok(())
    }

    /// Sends the tombstones of keys that the batch does not insert again.
    fn tombstones_before(
        &mut self,
        batch: &Batch,
        keys: &Keys<'_>,
        context: &Context,
    ) -> anyhow::Result<()> {
        if self.tombstones.is_empty() {
            return Ok(());
        }
        let mut key = Vec::new();
        for row in 0..batch.row_count() {
            if keys.write(row, &mut key) {
                self.tombstones.swap_remove(&key);
            }
        }
        self.send_tombstones(context)
    }

    fn send_tombstones(&mut self, context: &Context) -> anyhow::Result<()> {
        for key in std::mem::take(&mut self.tombstones) {
            self.outlet.send(Some(&key), None, context)?;
        }
        Ok(())
    }
}

/// The way to the broker.
struct Outlet {
    options: Arc<SinkOptions>,
    producer: BaseProducer<Listener>,
    batching: Batching,
    one_by_one: Arc<AtomicBool>,
    headers: Option<OwnedHeaders>,
    spread: Spread,
    waiting: Waiting,
    /// When the batch came, in milliseconds: its messages' time, so that the clock is not asked for each.
    now_ms: i64,
}

impl Outlet {
    /// Prepares for a batch of so many rows.
    fn begin(&mut self, rows: usize) {
        self.now_ms = Utc::now().timestamp_millis();
        let client = self.producer.client();
        self.spread.begin(rows, &self.options, client);
    }

    /// Enqueues one message; waits while the queue is full.
    ///
    /// # Errors
    /// The signal to stop, or a message did not arrive.
    fn send(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let partition = self.spread.next();
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&self.options.connection.topic).timestamp(self.now_ms);
            record.partition = partition;
            record.key = key;
            record.payload = value;
            record.headers = self.headers.clone();
            let error = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) => error,
            };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(ROOM_PAUSE);
                    self.check(context)?;
                    self.wait(context)?;
                }
                Some(code) if is_of_message(code) => {
                    context.report(Event::Reject(Reject {
                        message: format!("the message was refused: {}", shown(&error)),
                        payload: shown_payload(value.or(key)),
                    }));
                    return Ok(());
                }
                _ => return Err(self.fault(&error)),
            }
        }
    }

    /// Says whether messages are still on their way.
    ///
    /// # Errors
    /// A message did not arrive.
    fn is_busy(&mut self, context: &Context) -> anyhow::Result<bool> {
        self.check(context)?;
        Ok(self.producer.in_flight_count() > 0)
    }

    /// Waits until every message has arrived, however long the broker is away.
    ///
    /// # Errors
    /// As for [`Outlet::send`].
    fn flush(&mut self, context: &Context) -> anyhow::Result<()> {
        let mut pause = FLUSH_PAUSE_FIRST;
        let mut left = self.producer.in_flight_count();
        loop {
            let flushed = self.producer.flush(pause);
            self.check(context)?;
            match flushed {
                Ok(()) => break,
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {
                    self.wait(context)?
                }
                Err(error) => return Err(self.fault(&error)),
            }
            let before = std::mem::replace(&mut left, self.producer.in_flight_count());
            pause = match left < before {
                true => FLUSH_PAUSE_FIRST,
                false => (pause * 2).min(FLUSH_PAUSE_MAX),
            };
        }
        self.waiting = Waiting::default();
        if self.batching == Batching::One {
            // What was refused is behind; nothing is on its way, so no order can be lost either.
            self.one_by_one.store(false, Ordering::Relaxed);
            self.batching = Batching::Many;
            self.producer = producer(&self.options, self.batching)?;
        }
        Ok(())
    }

    /// Looks at what failed.
    ///
    /// # Errors
    /// A message did not arrive for a reason that is not its own, or took others with it.
    fn check(&mut self, context: &Context) -> anyhow::Result<()> {
        self.producer.poll(Duration::ZERO);
        for failed in self.producer.context().take_failed() {
            if !failed.code.is_some_and(is_of_message) {
                bail!("{}", self.undelivered(&failed.error));
            }
            if self.batching == Batching::Many {
                self.one_by_one.store(true, Ordering::Relaxed);
                bail!(
                    "a message was refused: {}; they are sent again one by one",
                    failed.error
                );
            }
            context.report(Event::Reject(Reject {
                message: format!("the message was refused: {}", failed.error),
                payload: failed.payload,
            }));
        }
        if let Some((_, reason)) = self.producer.client().fatal_error() {
            bail!("the Kafka client gave up: {reason}");
        }
        Ok(())
    }

    /// Heeds the signal to stop, and says from time to time that the broker is waited for.
    fn wait(&mut self, context: &Context) -> anyhow::Result<()> {
        context.stop.check()?;
        let left = self.producer.in_flight_count();
        let Some(attempt) = self.waiting.due(left) else {
            return Ok(());
        };
        let server = self.options.connection.server.shown();
        let error = match self.producer.context().take_trouble() {
            Some(trouble) => format!("{left} messages wait for `{server}`: {trouble}"),
            None => format!("{left} messages wait for `{server}`"),
        };
        context.report(Event::Retry {
            attempt,
            pause: PATIENCE,
            error,
        });
        Ok(())
    }

    fn fault(&self, error: &KafkaError) -> anyhow::Error {
        let error = match self.producer.client().fatal_error() {
            Some((_, reason)) => reason,
            None => shown(error),
        };
        anyhow::anyhow!("{}", self.undelivered(&error))
    }

    fn undelivered(&self, error: &str) -> String {
        let topic = &self.options.connection.topic;
        format!("a message was not delivered to topic `{topic}`: {error}")
    }
}

/// How long nothing has been delivered.
#[derive(Default)]
struct Waiting {
    /// Messages on their way at the last look, and when their number last fell.
    last: Option<(i32, Instant)>,
    reports: u32,
}

impl Waiting {
    /// Returns the number of the report, if one is due.
    fn due(&mut self, left: i32) -> Option<u32> {
        match self.last {
            Some((before, since)) if left >= before => {
                if since.elapsed() < PATIENCE {
                    return None;
                }
                self.reports += 1;
                self.last = Some((left, Instant::now()));
                Some(self.reports)
            }
            _ => {
                self.last = Some((left, Instant::now()));
                self.reports = 0;
                None
            }
        }
    }
}

/// Says whether an error is about the message alone, so that the next one may well arrive.
fn is_of_message(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
    )
}

/// Returns a row as JSON, for the record.
fn json_of(rows: &RecordBatch, row: usize) -> String {
    let mut out = Vec::new();
    let encoded = crate::format::JsonEncoder::new(&rows.schema(), &[])
        .and_then(|encoder| encoder.encode(rows, row, &mut out))
        .context("the row has no JSON");
    match encoded {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => format!("{error:#}"),
    }
}
