//! Rows per second through the kafka connector (encode and send; receive and decode), beside the bare client with
//! ready payloads, by the same broker in the same run.
//!
//! `cargo bench --bench kafka [-- ROWS]`; no number is asserted, since machines differ. The workloads of
//! `cargo bench --bench workloads` measure the same with state, views and a process around it.

#[path = "../tests/kafka/bare.rs"]
mod bare;
#[path = "../tests/kafka/broker.rs"]
mod broker;
#[path = "../tests/kafka/connect.rs"]
mod connect;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use omlsp::batch::array::{
    ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use omlsp::batch::datatypes::{DataType, Field, Schema, TimeUnit};
use omlsp::batch::{RecordBatch, Sign};
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;

use bare::bare_producer;
use broker::{available, shared};
use connect::{batch, context, lines, sink, source};

/// What the program itself allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 1_000_000;
const ROUNDS: usize = 5;

/// What a sink is handed at once.
const BATCH_ROWS: usize = 32_768;
const PARTITIONS: i32 = 2;

fn main() {
    let rows = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(ROWS);
    if !available() {
        return;
    }
    println!("{rows} rows of 4 fields, {ROUNDS} rounds, best of each");
    let tickers = tickers(rows);
    let payloads = lines(&tickers);
    let mut best = [Duration::MAX; 4];
    // Alternating, so that what else happens on the machine hits all.
    for round in 0..ROUNDS {
        let (ours, bare) = (format!("ours-{round}"), format!("bare-{round}"));
        let times = [
            bare_on(&payloads, &bare),
            through_the_sink(&tickers, &ours),
            bare_consumer(rows, &ours),
            through_the_source(rows, &ours),
        ];
        for (best, time) in best.iter_mut().zip(times) {
            *best = (*best).min(time);
        }
    }
    let rate = |time: Duration| rows as f64 / time.as_secs_f64();
    let [bare_sent, sent, bare_read, read] = best;
    for (what, ours, bare) in [("sink", sent, bare_sent), ("source", read, bare_read)] {
        println!(
            "kafka {what:6} {:>10.0} rows/s, bare client {:>10.0} messages/s, ratio {:.2}",
            rate(ours),
            rate(bare),
            rate(ours) / rate(bare)
        );
    }
}

/// Rows of a symbol, a price, a size and an instant.
fn tickers(rows: usize) -> RecordBatch {
    let count = rows as i64;
    let symbols = ["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT"];
    let columns: [(&str, ArrayRef); 4] = [
        (
            "symbol",
            Arc::new(StringArray::from_iter_values(
                (0..rows).map(|n| symbols[n % symbols.len()]),
            )),
        ),
        (
            "price",
            Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|n| 42_000.0 + n as f64 / 8.0),
            )),
        ),
        ("size", Arc::new(Int64Array::from_iter_values(0..count))),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from_iter_values(
                (0..count).map(|n| 1_704_164_645_678 + n),
            )),
        ),
    ];
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the columns are as long")
}

/// Sends ready payloads to a topic of their own.
fn bare_on(payloads: &[String], topic: &str) -> Duration {
    make_topic(topic);
    bare_producer(shared().server(), payloads, topic)
}

fn make_topic(topic: &str) {
    shared().peer("topic", topic, &[&PARTITIONS.to_string()], "");
}

fn through_the_sink(rows: &RecordBatch, topic: &str) -> Duration {
    make_topic(topic);
    let server = shared().server();
    let with = [("topic", topic), ("server", server.as_str())];
    let schema = rows.schema();
    let (context, ..) = context();
    let connector = sink(&schema, &with);
    let mut writer = connector.open(&schema, None).expect("options are valid");
    let start = Instant::now();
    for first in (0..rows.num_rows()).step_by(BATCH_ROWS) {
        let piece = rows.slice(first, BATCH_ROWS.min(rows.num_rows() - first));
        let written = writer.write(&batch(&piece, Sign::Insert), &context);
        written.expect("the broker takes everything");
    }
    let flushed = writer.flush(true, &context);
    flushed.expect("the broker acknowledges everything");
    start.elapsed()
}

fn through_the_source(rows: usize, topic: &str) -> Duration {
    let server = shared().server();
    let with = [("topic", topic), ("server", server.as_str())];
    let columns = [
        ("symbol", "VARCHAR", DataType::Utf8),
        ("price", "DOUBLE", DataType::Float64),
        ("size", "BIGINT", DataType::Int64),
        (
            "at",
            "TIMESTAMP_MS",
            DataType::Timestamp(TimeUnit::Millisecond, None),
        ),
    ];
    let connector = source(&columns, &with);
    let (context, ..) = context();
    let start = Instant::now();
    let mut reader = connector.open(None, &context).expect("options are valid");
    let (mut count, mut time) = (0, Duration::ZERO);
    while count < rows {
        let read = reader.read(chrono::Utc::now(), &context, &mut |delivery| {
            assert!(
                delivery.decoded.rejects.is_empty(),
                "every message is a row"
            );
            count += delivery.decoded.rows.num_rows();
            // A call of `read` waits for more after the last message.
            time = start.elapsed();
            Ok(())
        });
        read.expect("the broker answers");
    }
    time
}

/// Receives all messages and does nothing with them.
fn bare_consumer(rows: usize, topic: &str) -> Duration {
    let start = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", shared().server())
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        // As the source has them; with the client's own it waits a second whenever its queue is full.
        .set("queued.max.messages.kbytes", "32768")
        .set("queued.min.messages", "1000000")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .expect("the settings are valid");
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let added = partitions.add_partition_offset(topic, partition, Offset::Beginning);
        added.expect("the offset is one");
    }
    let assigned = consumer.assign(&partitions);
    assigned.expect("the partitions are there");
    let (mut count, mut bytes) = (0, 0);
    while count < rows {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            let message = message.expect("the broker answers");
            bytes += message.payload().map_or(0, <[u8]>::len);
            count += 1;
        }
    }
    let time = start.elapsed();
    assert!(bytes > 10 * rows, "the messages have their payloads");
    time
}
