//! W4: a million rows of 4 fields as JSON to a topic, beside the bare producer with ready payloads. W7: from that
//! topic through a view to another one.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::bare::bare_producer;
use crate::broker::{Broker, available, shared};
use crate::support::binary::{Project, wait_at_most};
use crate::table::{Goal, Runs, Table};

const ROWS: usize = 1_000_000;
const PARTITIONS: i32 = 2;
const WAIT_MAX: Duration = Duration::from_secs(300);

/// The rows that the pipelines send; their JSON is what the bare producer sends.
const MADE: &str = "CREATE TABLE made (symbol STRING AS (['BTC-USDT', 'ETH-USDT', 'SOL-USDT', 'XRP-USDT'][1 + n % 4]),
    price DOUBLE AS (42000 + n / 8), n BIGINT,
    at TIMESTAMP AS (make_timestamp(1704164645678000 + n * 1000)))
    WITH (connector = 'generate', rows = 1000000);";

fn rate(times: &[Duration]) -> Runs {
    let rates = times.iter().map(|time| ROWS as f64 / time.as_secs_f64());
    Runs::of(rates.collect(), "/s")
}

/// Makes a topic.
pub fn topic(name: &str) -> String {
    shared().peer("topic", name, &[&PARTITIONS.to_string()], "");
    name.to_owned()
}

/// Rows that lie in the state already are sent to the broker; and made and sent at once.
pub fn rows_to_a_topic(table: &mut Table) {
    if !available() {
        table.left_out("W4", "a million rows to Kafka", "no Kafka broker");
        return;
    }
    let project = Project::new();
    project.file("made.sql", MADE);
    let start = Instant::now();
    project
        .omlsp(["run", "made.sql", "--once"])
        .run()
        .expect_code(0);
    let making = start.elapsed();
    let (mut bare_times, mut sent, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let mut payloads = Vec::new();
    for round in 0..table.runs {
        let name = topic(&format!("sent-{round}"));
        project.file("sink.sql", sink("made", &name));
        let run = ["run", "made.sql", "sink.sql", "--once", "--replace"];
        let start = Instant::now();
        project.omlsp(run).run().expect_code(0);
        sent.push(start.elapsed());
        if payloads.is_empty() {
            payloads = read(shared(), &name);
        }
        assert_eq!(messages_in(shared(), &name), ROWS as i64);
        bare_times.push(bare_producer(
            shared().server(),
            &payloads,
            &topic(&format!("bare-{round}")),
        ));
        let fresh = Project::new();
        let name = topic(&format!("both-{round}"));
        fresh.file("both.sql", MADE.to_owned() + &sink("made", &name));
        let start = Instant::now();
        fresh
            .omlsp(["run", "both.sql", "--once"])
            .run()
            .expect_code(0);
        both.push(start.elapsed());
    }
    let bare = rate(&bare_times);
    let what = "a million rows from the state to Kafka, whole process";
    table.beside("W4", what, &rate(&sent), &bare, Goal::RatioAtLeast(0.8));
    let what = "made, kept and sent, whole process; raw: bare producer";
    table.beside("W4", what, &rate(&both), &bare, Goal::None);
    table.fact(
        "W4",
        "made and kept alone, whole process",
        &Runs::millis(&[making]),
        Goal::None,
    );
}

/// Returns the statement that sends a relation, or a query in brackets, to a topic.
pub fn sink(relation: &str, topic: &str) -> String {
    format!(
        "CREATE SINK out FROM {relation} WITH (connector = 'kafka', topic = '{topic}', server = '{}');",
        shared().server()
    )
}

fn consumer(broker: &Broker) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", broker.server())
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer can be made")
}

/// Counts the messages that a topic has ever got.
pub fn messages_in(broker: &Broker, topic: &str) -> i64 {
    let consumer = consumer(broker);
    count(&consumer, topic)
}

fn count(consumer: &BaseConsumer, topic: &str) -> i64 {
    let ends = (0..PARTITIONS).map(|partition| {
        let marks = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10));
        marks.map_or(0, |(_, end)| end)
    });
    ends.sum()
}

/// Reads the values of all messages of a topic.
fn read(broker: &Broker, topic: &str) -> Vec<Vec<u8>> {
    let consumer = consumer(broker);
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("it is an offset");
    }
    consumer
        .assign(&partitions)
        .expect("there are these partitions");
    let mut values = Vec::with_capacity(ROWS);
    while values.len() < ROWS {
        let message = consumer
            .poll(Duration::from_secs(10))
            .expect("there is more");
        let message = message.expect("the broker answers");
        values.push(message.payload().expect("a row is a value").to_vec());
    }
    values
}

/// Reads a million messages, keeps three quarters of them, and sends those on.
pub fn topic_to_topic(table: &mut Table) {
    if !available() {
        table.left_out("W7", "Kafka to view to Kafka", "no Kafka broker");
        return;
    }
    let source = topic("w7-in");
    let made = Project::new();
    made.file("made.sql", MADE.to_owned() + &sink("made", &source));
    made.omlsp(["run", "made.sql", "--once"])
        .run()
        .expect_code(0);
    let watcher = consumer(shared());
    let mut times = Vec::new();
    for round in 0..table.runs {
        let name = topic(&format!("w7-out-{round}"));
        let project = Project::new();
        project.file(
            "through.sql",
            format!(
                "CREATE SOURCE trades (symbol STRING, price DOUBLE, n BIGINT, \"at\" TIMESTAMP) WITH (
                    connector = 'kafka', topic = '{source}', server = '{}', scan.startup.mode = 'earliest');
                CREATE VIEW wanted AS SELECT symbol, price * 2 AS twice, \"at\" FROM trades WHERE n % 4 <> 3;
                {}",
                shared().server(),
                sink("wanted", &name)
            ),
        );
        let wanted = (ROWS / 4 * 3) as i64;
        let start = Instant::now();
        let running = project.omlsp(["run", "through.sql"]).spawn();
        let waited = wait_at_most(WAIT_MAX, || count(&watcher, &name) >= wanted);
        times.push(start.elapsed());
        assert!(waited.is_ok(), "{}", running.stderr());
        running.interrupt();
        running.wait().expect_code(0);
        assert_eq!(count(&watcher, &name), wanted);
    }
    let what = "Kafka → view → Kafka, rows read, from process start";
    table.fact("W7", what, &rate(&times), Goal::AtLeast(200_000.0));
}
