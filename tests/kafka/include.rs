//! `INCLUDE`: what a message carries beside its rows, as columns.

use serde_json::{Value, json};

use crate::broker::{available, shared};
use crate::pipeline::Pipeline;
use crate::support::registry::Registry;

const SENT_MS: i64 = 1_704_164_645_678;

/// Three messages of partition 1: one with all parts and two rows, one with none, one of bytes.
fn produce(topic: &str) {
    let broker = shared();
    broker.peer("topic", topic, &["2"], "");
    let messages = [
        json!({"value": "[{\"a\":1},{\"a\":2}]", "key": "k1", "partition": 1, "timestamp": SENT_MS,
            "headers": [["origin", "first"], ["origin", "last"], ["other", "x"]]}),
        json!({"value": "{\"a\":3}", "partition": 1, "timestamp": SENT_MS + 1}),
        json!({"value": "{\"a\":4}", "key_hex": "00ff41", "partition": 1, "timestamp": SENT_MS + 2,
            "headers": [["origin", "ü"]]}),
    ];
    let lines: Vec<String> = messages
        .iter()
        .map(|message| format!("{message}\n"))
        .collect();
    broker.peer("produce", topic, &[], &lines.concat());
}

#[test]
fn every_part_of_a_message_is_a_column_that_others_are_computed_from() {
    if !available() {
        return;
    }
    produce("include");
    let sql = "CREATE TABLE parts (a BIGINT, place VARCHAR AS (kafka_partition || '/' || at_offset), late_ms BIGINT AS (epoch_ms(sent_at) + a))
        INCLUDE key BLOB AS raw_key INCLUDE partition INCLUDE offset AS at_offset INCLUDE timestamp AS sent_at
        INCLUDE header 'origin' AS origin INCLUDE header 'origin' BYTEA INCLUDE header 'missing' AS missing
        WITH (connector = 'kafka', server = '${KAFKA}', topic = 'include');";
    let pipeline = Pipeline::new(&shared().server(), sql);
    pipeline.once();
    assert_eq!(pipeline.errors(), [Value::Null; 0]);
    let row = |a: i64, offset: i64, key: Value, origin: Value, bytes: Value| {
        json!({
            "a": a, "place": format!("1/{offset}"), "late_ms": SENT_MS + offset + a, "raw_key": key,
            "kafka_partition": 1, "at_offset": offset, "sent_at": format!("2024-01-02T03:04:05.67{}Z", 8 + offset),
            "origin": origin, "kafka_header_origin": bytes, "missing": null,
        })
    };
    let bytes = r"\xC3\xBC";
    let expected = [
        row(1, 0, json!("k1"), json!("last"), json!("last")),
        row(2, 0, json!("k1"), json!("last"), json!("last")),
        row(3, 1, Value::Null, Value::Null, Value::Null),
        row(4, 2, json!(r"\x00\xFFA"), json!("ü"), json!(bytes)),
    ];
    let rows = pipeline.sql("SELECT * REPLACE (raw_key::VARCHAR AS raw_key, kafka_header_origin::VARCHAR AS kafka_header_origin) FROM parts ORDER BY a");
    assert_eq!(rows[..3], expected[..3]);
    let described = pipeline.sql("DESCRIBE parts");
    let types: Vec<(&str, &str)> = (described.iter())
        .map(|row| {
            (
                row["column"].as_str().unwrap(),
                row["type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        types[3..],
        [
            ("raw_key", "BLOB"),
            ("kafka_partition", "INTEGER"),
            ("at_offset", "BIGINT"),
            ("sent_at", "TIMESTAMP"),
            ("origin", "VARCHAR"),
            ("kafka_header_origin", "BLOB"),
            ("missing", "VARCHAR"),
        ]
    );
    assert_eq!(described[7]["note"], "the header `origin` of the message");
}

#[test]
fn a_key_that_is_no_text_is_a_reject_and_a_missing_one_no_primary_key() {
    if !available() {
        return;
    }
    produce("include-key");
    let sql = "CREATE TABLE latest (a BIGINT, PRIMARY KEY (k)) INCLUDE key AS k
        WITH (connector = 'kafka', server = '${KAFKA}', topic = 'include-key');
        CREATE TABLE placed (a BIGINT, PRIMARY KEY (kafka_partition, kafka_offset)) INCLUDE partition INCLUDE offset
        WITH (connector = 'kafka', server = '${KAFKA}', topic = 'include-key');";
    let pipeline = Pipeline::new(&shared().server(), sql);
    pipeline.once();
    // The later row of one key, or of one offset, is the one that stays.
    assert_eq!(pipeline.sql("FROM latest"), [json!({"a": 2, "k": "k1"})]);
    let placed = pipeline.sql("SELECT a, kafka_offset FROM placed ORDER BY a");
    let expected =
        [(2, 0), (3, 1), (4, 2)].map(|(a, offset)| json!({"a": a, "kafka_offset": offset}));
    assert_eq!(placed, expected);
    let errors = pipeline.errors();
    let messages: Vec<&str> = errors
        .iter()
        .map(|error| error["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "the message at offset 1 of partition 1: column `k`: the message has no key, but the column is NOT NULL",
            "the message at offset 2 of partition 1: column `k`: the key is not UTF-8, as a VARCHAR has to be; a BLOB takes any bytes",
        ]
    );
    assert_eq!(
        (&errors[0]["entity"], &errors[0]["payload"]),
        (&json!("latest"), &json!("{\"a\":3}"))
    );
}

#[test]
fn parts_stand_beside_rows_of_avro_and_rejects_shift_none() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    let (broker, url) = (shared(), registry.url());
    broker.peer("topic", "include-avro", &["1"], "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.avsc");
    std::fs::write(
        &file,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#,
    )
    .unwrap();
    let avro = |input: &str| {
        broker.peer(
            "avro",
            "include-avro",
            &[&url, file.to_str().unwrap()],
            input,
        )
    };
    avro("{\"a\":1}\n");
    broker.peer(
        "produce",
        "include-avro",
        &[],
        "{\"value\":\"no frame\"}\n{\"key\":\"a tombstone\"}\n",
    );
    avro("{\"a\":2}\n");
    let sql = "CREATE TABLE parts (a BIGINT) INCLUDE offset AS at
        WITH (connector = 'kafka', server = '${KAFKA}', topic = 'include-avro', encode = 'avro', registry = '${REGISTRY}');";
    let pipeline = Pipeline::new(&broker.server(), sql).env("REGISTRY", &url);
    pipeline.once();
    assert_eq!(
        pipeline.sql("FROM parts ORDER BY a"),
        [json!({"a": 1, "at": 0}), json!({"a": 2, "at": 3})]
    );
    assert_eq!(pipeline.errors().len(), 2);
}
