//! The sink beside a bare loop of the same producer with ready payloads. Printed, not asserted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use omlsp::batch::array::{Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use omlsp::batch::{RecordBatch, Sign};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::broker::{available, shared};
use crate::connect::{batch, context, lines, sink};
use crate::rows_of;

const ROWS: i64 = 1_000_000;
const BATCH_ROWS: usize = 32_768;

fn tickers() -> RecordBatch {
    let symbols =
        (0..ROWS).map(|n| Some(["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT"][(n % 4) as usize]));
    rows_of(vec![
        ("symbol", Arc::new(symbols.collect::<StringArray>())),
        (
            "price",
            Arc::new(
                (0..ROWS)
                    .map(|n| Some(42_000.0 + n as f64 / 8.0))
                    .collect::<Float64Array>(),
            ),
        ),
        ("size", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from_iter_values(
                (0..ROWS).map(|n| 1_704_164_645_678 + n),
            )),
        ),
    ])
}

#[test]
fn the_sink_beside_a_bare_producer() {
    if !available() {
        return;
    }
    let rows = tickers();
    let payloads = lines(&rows);
    let (mut sink_best, mut bare_best) = (Duration::MAX, Duration::MAX);
    // Alternating, so that what else happens on the machine hits both.
    for round in 0..3 {
        bare_best = bare_best.min(bare(&payloads, &format!("speed-bare-{round}")));
        sink_best = sink_best.min(through_the_sink(&rows, &format!("speed-sink-{round}")));
    }
    println!(
        "kafka sink: {:.0} rows/s, bare producer: {:.0} rows/s, ratio {:.2}",
        ROWS as f64 / sink_best.as_secs_f64(),
        ROWS as f64 / bare_best.as_secs_f64(),
        bare_best.as_secs_f64() / sink_best.as_secs_f64()
    );
}

fn through_the_sink(rows: &RecordBatch, topic: &str) -> Duration {
    shared().peer("topic", topic, &["2"], "");
    let server = shared().server();
    let with = [("topic", topic), ("server", server.as_str())];
    let schema = rows.schema();
    let (context, ..) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    let start = Instant::now();
    for first in (0..rows.num_rows()).step_by(BATCH_ROWS) {
        let piece = rows.slice(first, BATCH_ROWS.min(rows.num_rows() - first));
        writer
            .write(&batch(&piece, Sign::Insert), &context)
            .unwrap();
    }
    writer.flush(true, &context).unwrap();
    start.elapsed()
}

fn bare(payloads: &[String], topic: &str) -> Duration {
    shared().peer("topic", topic, &["2"], "");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", shared().server())
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.kbytes", "65536")
        .set("delivery.report.only.error", "true")
        .create()
        .unwrap();
    let start = Instant::now();
    for payload in payloads {
        let mut record = BaseRecord::<(), str>::to(topic).payload(payload);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::QueueFull)
            );
            record = back;
            producer.poll(Duration::from_millis(5));
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    start.elapsed()
}
