//! The source: messages to rows.
//!
//! All partitions are assigned by hand, so no group ever moves them; the next offset of each travels with
//! the rows, and their transaction makes both durable. `group_id` is told the same offsets afterwards, for
//! those who watch from outside. One client lives as long as its reader and finds brokers again by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::Offset;

use super::client::{Listener, consumer_config, shown};
use super::decode::MessageDecoder;
use super::options::{SourceOptions, StartupMode};
use super::position::Positions;
use super::replay::Played;
use super::tape;
use crate::batch::{Column, Decoded, RecordBatch};
use crate::connector::{
    Cadence, Context, Declared, Delivery, Event, Included, OnError, Overlap, ReadEnd,
    SourceConnector, SourceReader,
};

/// How long a read waits for its first message, as the trait has it.
const WAIT: Duration = Duration::from_secs(1);

/// How long it then waits for more: a commit costs up to 5 ms, so that few messages each would not pay.
const LINGER: Duration = Duration::from_millis(20);

/// Messages and bytes of a batch, at most: the cost of a commit is spread by then, and the rows of several
/// sources fit into memory.
pub(super) const BATCH_MESSAGES_MAX: usize = 32_768;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest wait that does not look at the signal to stop.
const SLICE: Duration = Duration::from_millis(100);

/// How often new partitions are looked for.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(10);

/// One attempt to ask a broker, and how many a reader makes before it fails: the client goes on connecting
/// between them.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
const ASK_ATTEMPTS: u32 = 10;

/// Trouble that goes on is told again after so long.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(5);

/// A source whose options are validated.
pub(super) struct KafkaSource {
    options: Arc<SourceOptions>,
    columns: Arc<[Column]>,
    included: Arc<[Included]>,
}

impl KafkaSource {
    pub(super) fn new(options: SourceOptions, declared: &Declared) -> Self {
        Self {
            options: Arc::new(options),
            columns: declared.columns.as_slice().into(),
            included: declared.included.as_slice().into(),
        }
    }
}

impl SourceConnector for KafkaSource {
    fn cadence(&self) -> (Cadence, Overlap) {
        (Cadence::Continuous, Overlap::Skip)
    }

    fn on_error(&self) -> OnError {
        self.options.rows.on_error
    }

    fn open(
        &self,
        cursor: Option<&str>,
        context: &Context,
    ) -> anyhow::Result<Box<dyn SourceReader>> {
        let positions = cursor.map(Positions::parse).transpose()?;
        Ok(match context.player() {
            Some(player) => Box::new(Played::new(self.decoder()?, positions, player)),
            None => Box::new(KafkaReader::new(self, positions)?),
        })
    }
}

impl KafkaSource {
    fn decoder(&self) -> anyhow::Result<MessageDecoder> {
        let included = Arc::clone(&self.included);
        MessageDecoder::new(&self.options, &self.columns, included)
    }
}

struct KafkaReader {
    options: Arc<SourceOptions>,
    consumer: BaseConsumer<Listener>,
    decoder: MessageDecoder,
    /// What has been committed.
    positions: Positions,
    /// Nothing was ever committed: `scan.startup.mode` decides.
    first: bool,
    partitions: i32,
    /// When partitions were last looked for.
    discovered: Option<Instant>,
    /// The client reads from `positions` on.
    assigned: bool,
    trouble: Trouble,
    /// Where a run that ends with what is there is done.
    goal: Option<Goal>,
}

impl KafkaReader {
    fn new(source: &KafkaSource, positions: Option<Positions>) -> anyhow::Result<Self> {
        let config = consumer_config(&source.options);
        let created = config.create_with_context(Listener::default());
        let consumer = created
            .map_err(|error| anyhow::anyhow!("the Kafka client refuses its options: {error}"))?;
        Ok(Self {
            decoder: source.decoder()?,
            first: positions.is_none(),
            positions: positions.unwrap_or_default(),
            options: Arc::clone(&source.options),
            consumer,
            partitions: 0,
            discovered: None,
            assigned: false,
            trouble: Trouble::default(),
            goal: None,
        })
    }
}

impl SourceReader for KafkaReader {
    fn read(
        &mut self,
        _tick: DateTime<Utc>,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadEnd> {
        let read = self.read_batch(context, emit);
        if read.is_err() {
            // What the client has handed out is not committed: it has to be handed out again.
            self.assigned = false;
        }
        read?;
        let reached = |goal: &Goal| goal.is_reached(&self.positions);
        Ok(match &self.goal {
            Some(goal) if reached(goal) => ReadEnd::Finished,
            _ => ReadEnd::Idle,
        })
    }
}

impl KafkaReader {
    fn read_batch(
        &mut self,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // librdkafka 2.12 aborts when it is closed while it still stops partitions that were assigned again.
        context.stop.check()?;
        self.discover(context, emit)?;
        if context.once && self.goal.is_none() {
            self.goal = Some(self.present_end(context)?);
        }
        if !self.assigned {
            self.assign()?;
        }
        let Collected {
            messages,
            ended,
            fault,
        } = collect(&self.consumer, context)?;
        if let Some(goal) = &mut self.goal {
            goal.ended.extend(ended);
        }
        if !messages.is_empty() {
            let received_at = context.now();
            if let Some(recorder) = context.recorder() {
                tape::write(recorder, context.entity(), received_at, &messages);
            }
            let decoded = self.decoder.decode(&messages, context)?;
            let mut positions = self.positions.clone();
            let mut bytes = 0;
            for message in &messages {
                positions.set(message.partition(), message.offset() + 1);
                bytes += message.payload().map_or(0, <[u8]>::len);
            }
            drop(messages);
            context.report(Event::Bytes(bytes as u64));
            emit(Delivery {
                decoded,
                batch_rows_max: usize::MAX,
                trigger: received_at,
                cursor: Some(positions.cursor()),
            })?;
            self.positions = positions;
            self.first = false;
            self.trouble = Trouble::default();
            self.tell_group(context);
        }
        match fault {
            Some(error) => self.heed(&error, context),
            None => Ok(()),
        }
    }

    /// Looks for partitions, at first and then from time to time.
    fn discover(
        &mut self,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let due = self
            .discovered
            .is_none_or(|last| last.elapsed() >= DISCOVERY_INTERVAL);
        if !due {
            return Ok(());
        }
        let found = if self.partitions == 0 {
            self.ask(context, |reader| reader.partition_count())?
        } else {
            // Known ones can be read meanwhile: one that cannot be asked now is asked later.
            let found = self.partition_count().ok();
            if found.is_some() && self.trouble.attempts > 0 {
                self.trouble = Trouble::default();
                context.report(Event::Recovered);
            }
            found.unwrap_or(self.partitions)
        };
        if found > self.partitions {
            self.partitions = found;
            self.assigned = false;
        }
        if self.first && self.options.startup == StartupMode::Latest {
            self.begin_at_end(context, emit)?;
        }
        self.first = false;
        self.discovered = Some(Instant::now());
        Ok(())
    }

    /// Makes the present ends the positions, and has them committed: what comes from now on counts, be it
    /// read now or after a restart.
    fn begin_at_end(
        &mut self,
        context: &Context,
        emit: &mut dyn FnMut(Delivery) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for partition in 0..self.partitions {
            let (_, end) = self.ask(context, |reader| reader.bounds(partition))?;
            self.positions.set(partition, end);
        }
        let rows = RecordBatch::new_empty(Arc::clone(self.decoder.schema()));
        let rejects = Vec::new();
        emit(Delivery {
            decoded: Decoded { rows, rejects },
            batch_rows_max: usize::MAX,
            trigger: context.now(),
            cursor: Some(self.positions.cursor()),
        })
    }

    /// Returns where the partitions end now.
    fn present_end(&self, context: &Context) -> anyhow::Result<Goal> {
        let mut goal = Goal::default();
        for partition in 0..self.partitions {
            let (_, end) = self.ask(context, |reader| reader.bounds(partition))?;
            goal.ends.set(partition, end);
        }
        Ok(goal)
    }

    /// Repeats a question until it is answered, some seconds at most.
    fn ask<T>(
        &self,
        context: &Context,
        question: impl Fn(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut attempt = 1;
        loop {
            context.stop.check()?;
            // Events wait in the client until they are polled for; there are no messages yet.
            let mut last = None;
            while let Some(event) = self.consumer.poll(Duration::ZERO) {
                last = event.err();
            }
            let error = match question(self) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if attempt >= ASK_ATTEMPTS {
                let server = self.options.connection.server.shown();
                let trouble = self.consumer.context().take_trouble();
                let trouble = trouble.or_else(|| last.as_ref().map(shown));
                return match trouble {
                    Some(trouble) => Err(error.context(format!("`{server}`: {trouble}"))),
                    None => Err(error.context(format!("`{server}` does not answer"))),
                };
            }
            attempt += 1;
            context.stop.wait(SLICE)?;
        }
    }

    fn partition_count(&self) -> anyhow::Result<i32> {
        let name = self.options.connection.topic.as_str();
        let metadata = self.consumer.fetch_metadata(Some(name), ASK_TIMEOUT);
        let metadata = metadata.map_err(|error| anyhow::anyhow!("{}", shown(&error)))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let topic = topic.with_context(|| format!("nothing is known of topic `{name}`"))?;
        if let Some(error) = topic.error() {
            bail!("topic `{name}`: {}", RDKafkaErrorCode::from(error));
        }
        let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
        anyhow::ensure!(count > 0, "topic `{name}` has no partitions");
        Ok(count)
    }

    /// Returns the oldest offset of a partition, and the one after its newest.
    fn bounds(&self, partition: i32) -> anyhow::Result<(i64, i64)> {
        let topic = &self.options.connection.topic;
        let bounds = self
            .consumer
            .fetch_watermarks(topic, partition, ASK_TIMEOUT);
        bounds.map_err(|error| anyhow::anyhow!("partition {partition}: {}", shown(&error)))
    }

    /// Has the client read from the positions on.
    fn assign(&mut self) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            let offset = match self.positions.get(partition) {
                Some(next) => Offset::Offset(next),
                None => Offset::Beginning,
            };
            list.add_partition_offset(&self.options.connection.topic, partition, offset)
                .context("a position that the client does not take")?;
        }
        let assigned = self.consumer.assign(&list);
        assigned.context("the client does not take its partitions")?;
        self.assigned = true;
        Ok(())
    }

    /// Tells the brokers how far the group is. It is for watching only, so nothing depends on its success.
    fn tell_group(&self, context: &Context) {
        if self.options.group_id.is_none() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in self.positions.iter() {
            let topic = &self.options.connection.topic;
            if let Err(error) = list.add_partition_offset(topic, partition, Offset::Offset(next)) {
                context.report(Event::Warning(format!(
                    "cannot tell the group its offset: {error}"
                )));
                return;
            }
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            context.report(Event::Warning(format!(
                "cannot tell the group its offsets: {error}"
            )));
        }
    }

    /// Decides what an error of the client means.
    fn heed(&mut self, error: &KafkaError, context: &Context) -> anyhow::Result<()> {
        let code = error.rdkafka_error_code();
        match code {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.find_oldest(context)
            }
            // The group is for watching only.
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) if self.options.group_id.is_none() => {
                Ok(())
            }
            Some(code) if is_final(code) => {
                let trouble = self.consumer.context().take_trouble();
                let server = self.options.connection.server.shown();
                bail!("`{server}`: {}", trouble.unwrap_or_else(|| shown(error)))
            }
            _ => {
                if let Some(attempt) = self.trouble.due() {
                    let trouble = self.consumer.context().take_trouble();
                    context.report(Event::Retry {
                        attempt,
                        pause: TROUBLE_INTERVAL,
                        error: trouble.unwrap_or_else(|| shown(error)),
                    });
                }
                Ok(())
            }
        }
    }

    /// Goes on at the oldest message of each partition whose position the broker no longer has.
    fn find_oldest(&mut self, context: &Context) -> anyhow::Result<()> {
        for (partition, next) in self.positions.clone().iter() {
            if partition >= self.partitions {
                continue;
            }
            let (oldest, end) = self.bounds(partition)?;
            if next < oldest || next > end {
                let topic = &self.options.connection.topic;
                context.report(Event::Warning(format!(
                    "partition {partition} of `{topic}` no longer has offset {next}: \
                     going on at {oldest}, the oldest it has"
                )));
                self.positions.set(partition, oldest);
            }
        }
        self.assigned = false;
        Ok(())
    }
}

/// The end of a topic at some instant.
#[derive(Default)]
struct Goal {
    /// The offset after the newest of each partition.
    ends: Positions,
    /// Partitions whose end was come upon; the last messages of a transaction are none for us, so that the
    /// offset may never get there.
    ended: BTreeSet<i32>,
}

impl Goal {
    fn is_reached(&self, positions: &Positions) -> bool {
        self.ends.iter().all(|(partition, end)| {
            let next = positions.get(partition).unwrap_or(0);
            next >= end || self.ended.contains(&partition)
        })
    }
}

/// What one wait for messages gave.
#[derive(Default)]
struct Collected<'c> {
    messages: Vec<BorrowedMessage<'c>>,
    /// Partitions that have no more for now.
    ended: Vec<i32>,
    /// An error of the client ends the batch.
    fault: Option<KafkaError>,
}

/// Waits for messages, and takes those that are there.
fn collect<'c>(
    consumer: &'c BaseConsumer<Listener>,
    context: &Context,
) -> anyhow::Result<Collected<'c>> {
    let mut collected = Collected::default();
    let mut bytes = 0;
    let mut end = Instant::now() + WAIT;
    while collected.messages.len() < BATCH_MESSAGES_MAX && bytes < BATCH_BYTES_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        if collected.messages.is_empty() {
            context.stop.check()?;
        }
        match consumer.poll(left.min(SLICE)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                collected.ended.push(partition);
                if context.once {
                    break;
                }
            }
            Some(Err(error)) => {
                collected.fault = Some(error);
                break;
            }
            Some(Ok(message)) => {
                if collected.messages.is_empty() {
                    end = Instant::now() + LINGER;
                }
                bytes +=
                    message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
                collected.messages.push(message);
            }
        }
    }
    Ok(collected)
}

/// Says whether an error needs somebody's hand; the others pass when a broker is back.
fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::Fatal
            | Code::UnsupportedFeature
    )
}

/// Errors one after the other.
#[derive(Default)]
struct Trouble {
    attempts: u32,
    told: Option<Instant>,
}

impl Trouble {
    /// Counts an error, and returns their number if it is time to tell.
    fn due(&mut self) -> Option<u32> {
        self.attempts += 1;
        if self
            .told
            .is_some_and(|told| told.elapsed() < TROUBLE_INTERVAL)
        {
            return None;
        }
        self.told = Some(Instant::now());
        Some(self.attempts)
    }
}
