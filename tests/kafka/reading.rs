//! What the source reads, and where it goes on.

use omlsp::batch::datatypes::DataType;

use crate::broker::{available, shared};
use crate::connect::{Received, context, source};
use crate::support::registry::Registry;

const COLUMNS: [(&str, &str, DataType); 1] = [("n", "BIGINT", DataType::Int64)];

/// Returns records for the independent client, of one partition.
fn records(range: std::ops::Range<i64>, partition: i32) -> String {
    let record =
        |n: i64| format!("{{\"value\":\"{{\\\"n\\\":{n}}}\",\"partition\":{partition}}}\n");
    range.map(record).collect()
}

fn numbers(received: &Received) -> Vec<i64> {
    let number = |line: &String| line["{\"n\":".len()..line.len() - 1].parse().unwrap();
    let mut numbers: Vec<i64> = received.lines.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_reader_goes_on_at_its_cursor() {
    if !available() {
        return;
    }
    let broker = shared();
    let server = broker.server();
    broker.peer("topic", "cursor", &["2"], "");
    broker.peer(
        "produce",
        "cursor",
        &[],
        &(records(0..50, 0) + &records(50..100, 1)),
    );
    let with = [
        ("topic", "cursor"),
        ("server", server.as_str()),
        ("group_id", "watched"),
    ];
    let connector = source(&COLUMNS, &with);
    let (context, ..) = context();
    let mut reader = connector.open(None, &context).unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 100, &context);
    assert_eq!(numbers(&received), (0..100).collect::<Vec<i64>>());
    assert_eq!(
        received.cursor.as_deref(),
        Some(r#"{"offsets":{"0":50,"1":50}}"#)
    );

    // A delivery that is not committed comes again, from the same reader.
    broker.peer("produce", "cursor", &[], &records(100..110, 1));
    let mut refused = 0;
    while refused == 0 {
        let read = reader.read(chrono::Utc::now(), &context, &mut |delivery| {
            refused += delivery.decoded.rows.num_rows();
            anyhow::bail!("not now")
        });
        assert!(read.is_ok() || read.unwrap_err().to_string() == "not now");
    }
    received.lines.clear();
    received.read(reader.as_mut(), 10, &context);
    assert_eq!(numbers(&received), (100..110).collect::<Vec<i64>>());
    drop(reader);

    broker.peer("produce", "cursor", &[], &records(200..210, 0));
    let mut reader = connector
        .open(received.cursor.as_deref(), &context)
        .unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 10, &context);
    received.read_once(reader.as_mut(), &context).unwrap();
    assert_eq!(numbers(&received), (200..210).collect::<Vec<i64>>());
    let told = || {
        broker
            .peer("committed", "cursor", &["watched"], "")
            .remove(0)
    };
    crate::support::binary::wait_until(
        || told() == serde_json::json!({"0": 60, "1": 60}),
        "the group knows the offsets",
    );
}

#[test]
fn latest_begins_at_the_end_and_new_partitions_at_their_beginning() {
    if !available() {
        return;
    }
    let broker = shared();
    let server = broker.server();
    broker.peer("topic", "latest", &["1"], "");
    broker.peer("produce", "latest", &[], &records(0..10, 0));
    let with = [
        ("topic", "latest"),
        ("server", server.as_str()),
        ("scan.startup.mode", "latest"),
    ];
    let connector = source(&COLUMNS, &with);
    let (context, ..) = context();
    let mut received = Received::default();
    let mut reader = connector.open(None, &context).unwrap();
    received.read_once(reader.as_mut(), &context).unwrap();
    assert_eq!(received.cursor.as_deref(), Some(r#"{"offsets":{"0":10}}"#));
    drop(reader);
    // What comes while nobody reads is not lost: the end was committed.
    broker.peer("produce", "latest", &[], &records(10..20, 0));
    let mut reader = connector
        .open(received.cursor.as_deref(), &context)
        .unwrap();
    received.read(reader.as_mut(), 10, &context);
    assert_eq!(numbers(&received), (10..20).collect::<Vec<i64>>());
    // A partition that appears while the reader runs.
    broker.peer("partitions", "latest", &["2"], "");
    broker.peer("produce", "latest", &[], &records(20..30, 1));
    received.read(reader.as_mut(), 20, &context);
    assert_eq!(numbers(&received), (10..30).collect::<Vec<i64>>());
}

#[test]
fn what_the_broker_no_longer_has_is_told() {
    if !available() {
        return;
    }
    let broker = shared();
    let server = broker.server();
    broker.peer("topic", "truncated", &["1"], "");
    broker.peer("produce", "truncated", &[], &records(0..20, 0));
    broker.peer("truncate", "truncated", &["0", "15"], "");
    let with = [("topic", "truncated"), ("server", server.as_str())];
    let (context, _, events) = context();
    let mut reader = source(&COLUMNS, &with)
        .open(Some(r#"{"offsets":{"0":5}}"#), &context)
        .unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 5, &context);
    assert_eq!(numbers(&received), (15..20).collect::<Vec<i64>>());
    let warnings = events.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("no longer has offset 5: going on at 15"),
        "{warnings:?}"
    );
}

#[test]
fn messages_that_are_no_rows_are_rejected_one_by_one() {
    if !available() {
        return;
    }
    let broker = shared();
    let server = broker.server();
    broker.peer("topic", "broken", &["1"], "");
    let input = "{\"value\":\"{\\\"n\\\":1\"}\n{\"value\":\",\\\"n\\\":2}\"}\n{\"key\":\"k\"}\n\
                 {\"value\":\"{\\\"n\\\":\\\"x\\\"}\"}\n{\"value\":\"[{\\\"n\\\":3},{\\\"n\\\":4}]\"}\n";
    broker.peer("produce", "broken", &[], input);
    let with = [("topic", "broken"), ("server", server.as_str())];
    let (context, ..) = context();
    let mut reader = source(&COLUMNS, &with).open(None, &context).unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 6, &context);
    assert_eq!(numbers(&received), [3, 4]);
    assert_eq!(received.rejects.len(), 4, "{:?}", received.rejects);
    let tombstone = "the message at offset 2 of partition 0 has no value (a tombstone)";
    assert!(
        received.rejects.iter().any(|text| text == tombstone),
        "{:?}",
        received.rejects
    );
}

#[test]
fn a_topic_that_is_not_there_is_an_error_with_its_name() {
    if !available() {
        return;
    }
    let server = shared().server();
    let with = [("topic", "nowhere"), ("server", server.as_str())];
    let (context, ..) = context();
    let mut reader = source(&COLUMNS, &with).open(None, &context).unwrap();
    let error = Received::default()
        .read_once(reader.as_mut(), &context)
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("topic `nowhere`"),
        "{error:#}"
    );
}

#[test]
fn avro_of_another_writer_is_read_by_its_schema() {
    if !available() {
        return;
    }
    let broker = shared();
    let server = broker.server();
    let registry = Registry::start();
    let url = registry.url();
    broker.peer("topic", "avro-in", &["1"], "");
    let folder = tempfile::tempdir().unwrap();
    let schemas = [
        (
            r#"{"type":"record","name":"r","fields":[{"name":"N","type":"int"},{"name":"gone","type":"string"}]}"#,
            "{\"N\":1,\"gone\":\"x\"}\n",
        ),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"N","type":["null","long","string"]}]}"#,
            "{\"N\":2}\n{\"N\":\"3\"}\n{\"N\":null}\n",
        ),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"N","type":{"type":"array","items":"int"}}]}"#,
            "{\"N\":[1]}\n",
        ),
    ];
    for (number, (schema, input)) in schemas.iter().enumerate() {
        let file = folder.path().join(format!("{number}.avsc"));
        std::fs::write(&file, schema).unwrap();
        registry.put(&format!("other-{number}-value"), schema);
        // The subjects differ, since these are no versions of each other; the topic is the same.
        registry.put("avro-in-value", schema);
        broker.peer("avro", "avro-in", &[&url, file.to_str().unwrap()], input);
    }
    broker.peer("produce", "avro-in", &[], "{\"value\":\"no frame\"}\n");
    let with = [
        ("topic", "avro-in"),
        ("server", server.as_str()),
        ("encode", "avro"),
        ("registry", url.as_str()),
    ];
    let (context, ..) = context();
    let mut reader = source(&COLUMNS, &with).open(None, &context).unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 6, &context);
    assert_eq!(
        received.lines,
        [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":null}"#]
    );
    let rejects = received.rejects.join("\n");
    assert!(
        rejects.contains("field `N` is array of int, column `n` is BIGINT"),
        "{rejects}"
    );
    assert!(
        rejects.contains("the message begins with the byte 110"),
        "{rejects}"
    );
}
