//! Every rule of the options, with the words that the user sees.

use std::sync::Arc;

use super::options::{Compression, Encoding, SinkOptions, SourceOptions, StartupMode};
use super::*;
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::connector::testing::{self, assert_fault, take};
use crate::connector::{Changes, OnError};
use crate::format::TimestampUnit;

fn schema() -> Schema {
    let fields = ["Symbol", "exchange", "price"].map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(ArrowSchema::new(fields.to_vec()))
}

fn source_options(with: &str) -> Result<SourceOptions, String> {
    take(
        &format!("topic = 'trades', server = 'localhost:9092', {with}"),
        |options| SourceOptions::take(options, |_| None),
    )
}

fn sink_options(with: &str) -> Result<SinkOptions, String> {
    take(
        &format!("topic = 'trades', server = 'localhost:9092', {with}"),
        |options| SinkOptions::take(options, &schema(), |_| None),
    )
}

fn refused<T>(result: Result<T, String>, parts: &[&str]) {
    assert_fault(result, parts);
}

#[test]
fn a_source_needs_little() {
    let options = source_options("").unwrap();
    assert_eq!(options.connection.topic, "trades");
    assert_eq!(options.connection.server.expose(), "localhost:9092");
    assert!(matches!(options.connection.encoding, Encoding::Json));
    assert_eq!(options.startup, StartupMode::Earliest);
    assert!(options.group_id.is_none());
    assert_eq!(options.rows.on_error, OnError::DeadLetter);
}

#[test]
fn a_source_takes_all_it_knows() {
    let options = source_options(
        "group_id = 'g', scan.startup.mode = 'latest', jq = '.data[]', on_error = 'fail', \
         timestamp_unit = 'ms', properties.security.protocol = 'SASL_SSL', \
         properties.sasl.password = SECRET token",
    )
    .unwrap();
    assert_eq!(options.startup, StartupMode::Latest);
    assert_eq!(options.rows.filter.text(), ".data[]");
    assert_eq!(options.rows.on_error, OnError::Fail);
    assert_eq!(
        options.rows.timestamp_unit,
        Some(TimestampUnit::Millisecond)
    );
    let names: Vec<&str> = (options.connection.properties.iter())
        .map(|(name, _, _)| name.as_str())
        .collect();
    assert_eq!(names, ["security.protocol", "sasl.password"]);
    assert!(!format!("{options:?}").contains("s3cr3t"));
}

#[test]
fn the_brokers_have_three_names_and_need_one() {
    let make = |with: &str| {
        take(&format!("topic = 't', {with}"), |options| {
            SourceOptions::take(options, |_| None)
        })
    };
    for name in [
        "server",
        "properties.bootstrap.server",
        "properties.bootstrap.servers",
    ] {
        let options = make(&format!("{name} = 'a:1, [::1]:9092,b'")).unwrap();
        assert_eq!(options.connection.server.expose(), "a:1, [::1]:9092,b");
        assert!(options.connection.properties.is_empty());
    }
    refused(make(""), &["option `server` is missing"]);
    let two = make("server = 'a:1', properties.bootstrap.servers = 'a:1'");
    refused(
        two,
        &["`server` and `properties.bootstrap.servers` are two names of one option"],
    );
    let wrong = make("server = 'a:1,b:99999'");
    refused(
        wrong,
        &[
            "`b:99999` is not a broker's address",
            "test.sql:1:34",
            "expected `host:port`",
        ],
    );
    refused(make("server = ''"), &["`` is not a broker's address"]);
    refused(
        make("server = 'a b:1'"),
        &["`a b:1` is not a broker's address"],
    );
}

#[test]
fn a_topic_has_a_name_that_kafka_takes() {
    let make = |topic: &str| {
        take(&format!("topic = '{topic}', server = 'a'"), |options| {
            SourceOptions::take(options, |_| None)
        })
    };
    assert!(make("a.b-C_9").is_ok());
    refused(
        make("tra des"),
        &["` ` cannot be part of a topic's name", "test.sql:1:19"],
    );
    refused(make(".."), &["`..` cannot be a topic's name"]);
    refused(make(&"t".repeat(250)), &["expected 1 to 249 characters"]);
    refused(
        take("server = 'a'", |options| {
            SourceOptions::take(options, |_| None)
        }),
        &["option `topic` is missing"],
    );
}

#[test]
fn avro_and_its_registry_belong_together() {
    let options = source_options("encode = 'avro', registry = 'http://localhost:8081'").unwrap();
    assert!(matches!(options.connection.encoding, Encoding::Avro { .. }));
    refused(
        source_options("encode = 'avro'"),
        &["`encode = 'avro'` needs a schema registry"],
    );
    let without = "`registry` has no meaning with `encode = 'json'`";
    refused(source_options("registry = 'http://r'"), &[without]);
    refused(
        sink_options("encode = 'json', registry = 'http://r'"),
        &[without],
    );
    let jq = source_options("encode = 'avro', registry = 'http://r', jq = '.a'");
    refused(jq, &["`jq` works on JSON, not with `encode = 'avro'`"]);
    let wrong = source_options("encode = 'avro', registry = 'user:hush@r'");
    let Err(faults) = &wrong else {
        panic!("the registry is no address")
    };
    assert!(
        faults.contains("error: `registry` is not an HTTP address"),
        "{faults}"
    );
    let unknown = source_options("encode = 'arvo', registry = 'http://r'");
    refused(
        unknown,
        &["`encode` cannot be `arvo`", "did you mean `avro`?"],
    );
}

#[test]
fn a_filter_that_does_not_compile_has_its_place() {
    // The faults themselves are the format's; here it is that they get their caret.
    let wrong = take("topic = 't', server = 'a', jq = '.a | nope'", |options| {
        SourceOptions::take(options, |_| None)
    });
    refused(wrong, &["test.sql:1:45", "nope"]);
}

#[test]
fn properties_that_are_ours_are_refused_with_advice() {
    let refusals = [
        ("properties.group.id = 'g'", "use `group_id`"),
        (
            "properties.auto.offset.reset = 'latest'",
            "use `scan.startup.mode`",
        ),
        (
            "properties.enable.auto.commit = 'true'",
            "offsets are kept in the state",
        ),
    ];
    for (with, advice) in refusals {
        refused(source_options(with), &["cannot be set", advice]);
    }
    refused(
        sink_options("properties.acks = '0'"),
        &["`properties.acks` cannot be set", "idempotent"],
    );
}

#[test]
fn key_columns_are_columns_of_the_relation() {
    assert_eq!(sink_options("key = 'symbol'").unwrap().key, [0]);
    assert_eq!(
        sink_options("key = 'exchange, SYMBOL'").unwrap().key,
        [1, 0]
    );
    let wrong = sink_options("key = 'symbol, exchagne'");
    refused(
        wrong,
        &[
            "the relation has no column `exchagne`",
            "did you mean `exchange`?",
            "test.sql:1:67",
        ],
    );
    refused(
        sink_options("key = 'symbol,Symbol'"),
        &["column `Symbol` is twice in the key"],
    );
    refused(sink_options("key = ''"), &["the relation has no column ``"]);
}

#[test]
fn a_sink_takes_deletes_only_with_a_key() {
    let sink = |with: &str| KafkaSink::new(sink_options(with).unwrap());
    assert_eq!(sink("key = 'symbol'").changes(), Changes::Accepted);
    let Changes::Refused { advice } = sink("").changes() else {
        panic!("a message without a key cannot be deleted");
    };
    assert!(advice.starts_with("add `key = '…'`"), "{advice}");
}

#[test]
fn a_sink_takes_headers_and_a_compression() {
    let options = sink_options("headers.origin = 'omlsp', compression = 'zstd'").unwrap();
    assert_eq!(options.headers[0].0, "origin");
    assert_eq!(options.compression, Compression::Zstd);
    assert_eq!(sink_options("").unwrap().compression, Compression::Lz4);
    refused(
        sink_options("compression = 'lz5'"),
        &["`compression` cannot be `lz5`", "did you mean `lz4`?"],
    );
}

#[test]
fn each_role_has_its_own_options() {
    refused(source_options("key = 'symbol'"), &["unknown option `key`"]);
    refused(
        sink_options("group_id = 'g'"),
        &["unknown option `group_id`"],
    );
    assert_fault(
        sink_options("properties.group.id = 'g'"),
        &["`properties.group.id` cannot be set", "leave it out"],
    );
    refused(
        source_options("topik = 't'"),
        &["unknown option `topik`", "did you mean `topic`?"],
    );
}

#[test]
fn properties_are_the_clients_to_judge() {
    let schema = schema();
    let make = |with: &str| {
        let with = format!("topic = 't', server = 'a', {with}");
        let source = testing::source(&CONNECTOR, &[], &with).map(|_| ());
        let sink = testing::sink(&CONNECTOR, &schema, &with).map(|_| ());
        assert_eq!(source.is_ok(), sink.is_ok());
        source
    };
    make("properties.sasl.mechanism = 'PLAIN', properties.linger.ms = '5'").unwrap();
    refused(
        make("properties.sasl.mechanisn = 'PLAIN'"),
        &[
            "the Kafka client has no property `sasl.mechanisn`",
            "did you mean `properties.sasl.mechanism`?",
            "test.sql:1:34",
        ],
    );
    refused(
        make("properties.sasl.jaas.config = SECRET token"),
        &["use `properties.sasl.username`"],
    );
    refused(
        make("properties.security.protocol = 'TLS', properties.linger.ms = 'x'"),
        &[
            "`properties.security.protocol` cannot be `TLS`",
            "`properties.linger.ms` cannot be `x`",
        ],
    );
    let secret = make("properties.security.protocol = SECRET token");
    let Err(faults) = &secret else {
        panic!("no protocol has that name")
    };
    assert!(!faults.contains("s3cr3t"), "{faults}");
    refused(
        make("properties.transactional.id = 'x'"),
        &["cannot be set", "does not use transactions"],
    );
}
