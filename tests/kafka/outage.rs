//! Brokers that are away, at the start and later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use omlsp::batch::Sign;
use omlsp::batch::datatypes::DataType;
use omlsp::connector::Flushed;

use crate::broker::{Broker, available};
use crate::connect::{Received, batch, context, lines, sink, source};
use crate::numbered;
use crate::support::binary::wait_until;

const COLUMNS: [(&str, &str, DataType); 2] = [
    ("n", "BIGINT", DataType::Int64),
    ("name", "VARCHAR", DataType::Utf8),
];

/// Rows that travel through the outage, and how many are written at once.
const ROWS: i64 = 200_000;
const BATCH_ROWS: usize = 5_000;

#[test]
fn nothing_is_lost_or_doubled_when_the_broker_is_killed_under_load() {
    if !available() {
        return;
    }
    let broker = Broker::reserve();
    broker.start();
    broker.peer("topic", "outage", &["1"], "");
    let server = broker.server();
    let schema = numbered(0..1).schema();
    let with = [("topic", "outage"), ("server", server.as_str())];
    let writer = sink(&schema, &with).open(&schema, None);
    let mut writer = writer.unwrap();
    let half = Arc::new(AtomicBool::new(false));
    let half_written = Arc::clone(&half);
    let writing = std::thread::spawn(move || {
        let (context, _, events) = context();
        for start in (0..ROWS).step_by(BATCH_ROWS) {
            let rows = numbered(start..start + i64::try_from(BATCH_ROWS).unwrap());
            writer.write(&batch(&rows, Sign::Insert), &context).unwrap();
            half_written.store(start > ROWS / 2, Ordering::Relaxed);
            if start % 20_000 == 0 {
                assert_eq!(
                    writer.flush(true, &context).unwrap(),
                    Flushed::Durable(None)
                );
            }
        }
        assert_eq!(
            writer.flush(true, &context).unwrap(),
            Flushed::Durable(None)
        );
        assert_eq!(events.rejects(), [""; 0]);
    });
    let reading = std::thread::spawn(move || {
        let with = [("topic", "outage"), ("server", server.as_str())];
        let (context, ..) = context();
        let mut reader = source(&COLUMNS, &with).open(None, &context).unwrap();
        let mut received = Received::default();
        received.read(reader.as_mut(), usize::try_from(ROWS).unwrap(), &context);
        received
    });
    wait_until(
        || half.load(Ordering::Relaxed),
        "half of the rows are written",
    );
    broker.crash();
    std::thread::sleep(std::time::Duration::from_secs(2));
    broker.start();
    writing.join().unwrap();
    let received = reading.join().unwrap();
    assert_eq!(received.lines.len(), usize::try_from(ROWS).unwrap());
    assert!(
        received.lines == lines(&numbered(0..ROWS)),
        "rows are out of order or doubled"
    );
}

#[test]
fn a_broker_that_comes_late_is_waited_for() {
    if !available() {
        return;
    }
    let broker = Broker::reserve();
    let server = broker.server();
    let schema = numbered(0..1).schema();
    let with = [("topic", "late"), ("server", server.as_str())];
    let (ctx, _, events) = context();
    let connector = sink(&schema, &with);
    let writing = std::thread::spawn(move || {
        // The runtime's part: a topic that the broker is still about to create fails the first writer.
        let mut failures = Vec::new();
        loop {
            let mut writer = connector.open(&schema, None).unwrap();
            let written = writer
                .write(&batch(&numbered(0..1000), Sign::Insert), &ctx)
                .and_then(|()| writer.flush(true, &ctx));
            match written {
                Ok(flushed) => break flushed,
                Err(error) => failures.push(error.to_string()),
            }
            assert!(failures.len() < 3, "{failures:?}");
            assert!(failures[0].contains("`late`"), "{failures:?}");
        }
    });
    wait_until(
        || !events.retries().is_empty(),
        "the sink tells that it waits",
    );
    let told = events.retries().remove(0);
    assert!(told.contains("1000 messages wait for"), "{told}");
    assert!(told.contains("refused"), "{told}");

    // The source says what hinders it, and goes on when asked again.
    let (ctx, ..) = context();
    let mut reader = source(&COLUMNS, &with).open(None, &ctx).unwrap();
    let mut received = Received::default();
    let error = received.read_once(reader.as_mut(), &ctx).unwrap_err();
    assert!(format!("{error:#}").contains("refused"), "{error:#}");

    broker.start();
    assert_eq!(writing.join().unwrap(), Flushed::Durable(None));
    received.read(reader.as_mut(), 1000, &ctx);
    received
        .lines
        .sort_by_key(|line| (line.len(), line.clone()));
    assert_eq!(received.lines, lines(&numbered(0..1000)));
}

#[test]
fn the_signal_to_stop_ends_every_wait() {
    let schema = numbered(0..1).schema();
    let with = [("topic", "never"), ("server", "127.0.0.1:1")];
    let (ctx, stop, _) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    let mut reader = source(&COLUMNS, &with).open(None, &ctx).unwrap();
    let reading = {
        let ctx = ctx.clone();
        std::thread::spawn(move || Received::default().read_once(reader.as_mut(), &ctx))
    };
    let writing = std::thread::spawn(move || {
        // More than the client holds: the write itself has to wait.
        let rows = numbered(0..150_000);
        writer.write(&batch(&rows, Sign::Insert), &ctx)
    });
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let stopped = Instant::now();
    stop.stop();
    assert_eq!(writing.join().unwrap().unwrap_err().to_string(), "stopped");
    assert_eq!(reading.join().unwrap().unwrap_err().to_string(), "stopped");
    println!("stopped within {:?}", stopped.elapsed());
}
