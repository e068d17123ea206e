//! What the sink sends: keys, headers, tombstones, refused messages, schemas of others.

use std::sync::Arc;
use std::time::Duration;

use omlsp::batch::Sign;
use omlsp::batch::array::{Int64Array, StringArray};
use omlsp::batch::datatypes::DataType;
use omlsp::connector::{Context, Flushed};
use serde_json::{Value, json};

use crate::broker::{available, shared};
use crate::connect::{Received, batch, context, sink, source};
use crate::support::registry::Registry;
use crate::{numbered, rows_of};

fn keys_and_values(messages: &[Value]) -> Vec<(Value, Value)> {
    let pair = |message: &Value| (message["key"].clone(), message["value"].clone());
    messages.iter().map(pair).collect()
}

#[test]
fn deletes_are_tombstones_and_updates_are_one_message() {
    if !available() {
        return;
    }
    let broker = shared();
    broker.peer("topic", "tombstones", &["1"], "");
    let server = broker.server();
    let with = [
        ("topic", "tombstones"),
        ("server", server.as_str()),
        ("key", "name"),
        ("headers.origin", "omlsp"),
    ];
    let schema = numbered(0..1).schema();
    let (context, ..) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    let steps = [
        (numbered(0..3), Sign::Insert),
        // 1 is updated, 2 goes.
        (numbered(1..3), Sign::Delete),
        (numbered(1..2), Sign::Insert),
        (numbered(0..1), Sign::Delete),
    ];
    for (rows, sign) in &steps {
        writer.write(&batch(rows, *sign), &context).unwrap();
    }
    assert_eq!(
        writer.flush(true, &context).unwrap(),
        Flushed::Durable(None)
    );
    let seen = broker.peer("consume", "tombstones", &["6"], "");
    let value = |n: i64| Value::String(format!(r#"{{"n":{n},"name":"row {n}"}}"#));
    let expected = [
        (json!("row 0"), value(0)),
        (json!("row 1"), value(1)),
        (json!("row 2"), value(2)),
        (json!("row 2"), Value::Null),
        (json!("row 1"), value(1)),
        (json!("row 0"), Value::Null),
    ];
    assert_eq!(keys_and_values(&seen), expected);
    assert!(
        seen.iter()
            .all(|message| message["headers"] == json!({"origin": "omlsp"}))
    );
}

#[test]
fn a_key_of_several_columns_is_an_object() {
    if !available() {
        return;
    }
    let server = shared().server();
    let with = [
        ("topic", "keys"),
        ("server", server.as_str()),
        ("key", "name, n"),
    ];
    let schema = numbered(0..1).schema();
    let (context, ..) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    writer
        .write(&batch(&numbered(5..6), Sign::Insert), &context)
        .unwrap();
    writer.flush(true, &context).unwrap();
    let seen = shared().peer("consume", "keys", &["1"], "");
    assert_eq!(seen[0]["key"], r#"{"name":"row 5","n":5}"#);
}

#[test]
fn many_rows_without_a_key_go_to_all_partitions() {
    if !available() {
        return;
    }
    let broker = shared();
    broker.peer("topic", "spread", &["3"], "");
    let server = broker.server();
    let with = [("topic", "spread"), ("server", server.as_str())];
    let rows = numbered(0..30_000);
    let (context, ..) = context();
    let mut writer = sink(&rows.schema(), &with)
        .open(&rows.schema(), None)
        .unwrap();
    // In three batches, as in one: whose turn it is goes on.
    for part in 0..3 {
        let part = rows.slice(part * 10_000, 10_000);
        writer.write(&batch(&part, Sign::Insert), &context).unwrap();
    }
    writer.flush(true, &context).unwrap();
    let mut partitions = std::collections::BTreeMap::<u64, Vec<i64>>::new();
    for message in broker.peer("consume", "spread", &["30000"], "") {
        let value: Value = serde_json::from_str(message["value"].as_str().unwrap()).unwrap();
        let partition = partitions.entry(message["partition"].as_u64().unwrap());
        partition.or_default().push(value["n"].as_i64().unwrap());
    }
    assert_eq!(partitions.len(), 2, "30,000 rows are two turns");
    assert!(partitions.values().all(|numbers| numbers.is_sorted()));
    assert_eq!(partitions.values().map(Vec::len).sum::<usize>(), 30_000);
}

#[test]
fn a_message_that_is_too_large_is_rejected_alone() {
    if !available() {
        return;
    }
    let broker = shared();
    broker.peer("topic", "too-large", &["1", "max.message.bytes=10000"], "");
    let server = broker.server();
    let with = [
        ("topic", "too-large"),
        ("server", server.as_str()),
        ("compression", "none"),
    ];
    let text = |n: usize| match n {
        // Too large for the topic, which only the broker knows; and too large for the client itself.
        3 => "x".repeat(20_000),
        6 => "x".repeat(2_000_000),
        n => format!("row {n}"),
    };
    let texts: Vec<String> = (0..10).map(text).collect();
    let rows = rows_of(vec![("text", Arc::new(StringArray::from(texts)))]);
    let schema = rows.schema();
    let connector = sink(&schema, &with);
    let (context, _, events) = context();
    // The runtime's part: a new writer and everything since the last durable flush, until it is durable.
    let mut failures = Vec::new();
    for _ in 0..3 {
        let mut writer = connector.open(&schema, None).unwrap();
        let written = writer
            .write(&batch(&rows, Sign::Insert), &context)
            .and_then(|()| writer.flush(true, &context));
        match written {
            Ok(flushed) => {
                assert_eq!(flushed, Flushed::Durable(None));
                // And the writer goes on as usual.
                writer
                    .write(&batch(&rows.slice(0, 1), Sign::Insert), &context)
                    .unwrap();
                writer.flush(true, &context).unwrap();
                break;
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    assert!(
        failures.len() == 1 && failures[0].contains("one by one"),
        "{failures:?}"
    );
    let rejects = events.rejects();
    let large = rejects
        .iter()
        .filter(|text| text.contains("too large"))
        .count();
    assert_eq!((rejects.len(), large), (3, 3), "{rejects:?}");
    // Nine of the ten in order, whatever came through before the failure.
    let seen = broker.peer("consume", "too-large", &["9"], "");
    let last: Vec<String> = seen[seen.len() - 9..]
        .iter()
        .map(|message| message["value"].as_str().unwrap().to_owned())
        .collect();
    for n in [0, 1, 2, 4, 5, 7, 8, 9] {
        let line = format!(r#"{{"text":"row {n}"}}"#);
        assert!(last.contains(&line), "{line} is not in {last:?}");
    }
}

#[test]
fn a_schema_of_others_is_used_or_refused_by_name() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    let url = registry.url();
    let server = shared().server();
    let with = [
        ("topic", "foreign"),
        ("server", server.as_str()),
        ("encode", "avro"),
        ("registry", url.as_str()),
    ];
    registry.put(
        "foreign-value",
        r#"{"type":"record","name":"r","fields":[
            {"name":"extra","type":"string","default":"none"},
            {"name":"name","type":"string"},{"name":"n","type":["null","long"]}]}"#,
    );
    let names = StringArray::from(vec![Some("a"), None]);
    let numbers = Int64Array::from(vec![1, 2]);
    let rows = rows_of(vec![("n", Arc::new(numbers)), ("name", Arc::new(names))]);
    let schema = rows.schema();
    let (context, _, events) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    writer.write(&batch(&rows, Sign::Insert), &context).unwrap();
    writer.flush(true, &context).unwrap();
    let refused = "field `name`: NULL, but the schema's field is not nullable";
    assert_eq!(events.rejects(), [refused]);
    let seen = shared().peer("consume", "foreign", &["1", &url], "");
    assert_eq!(
        seen[0]["value"],
        json!({"extra": "none", "name": "a", "n": 1})
    );

    registry.put(
        "foreign-value",
        r#"{"type":"record","name":"r","fields":[{"name":"n","type":"int"},{"name":"name","type":"string"}]}"#,
    );
    let Err(error) = sink(&schema, &with).open(&schema, None) else {
        panic!("a BIGINT does not fit an int")
    };
    let text = format!("{error:#}");
    assert!(text.contains("`foreign-value`"), "{text}");
    assert!(
        text.contains("field `n` is int in the schema, the column is BIGINT"),
        "{text}"
    );
}

#[test]
fn a_registry_takes_credentials_and_shows_none() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    // user:pass word
    registry.require("Basic dXNlcjpwYXNzIHdvcmQ=");
    let schema = numbered(0..1).schema();
    let server = shared().server();
    let open = |url: &str| {
        let with = [
            ("topic", "credentials"),
            ("server", server.as_str()),
            ("encode", "avro"),
            ("registry", url),
        ];
        sink(&schema, &with).open(&schema, None).map(|_| ())
    };
    open(&registry.url().replace("://", "://user:pass%20word@")).unwrap();
    let error = open(&registry.url().replace("://", "://user:hush@")).unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("401") && text.contains("Unauthorized"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
    let gone = "http://user:hush@127.0.0.1:1/";
    let text = format!("{:#}", open(gone).unwrap_err());
    assert!(
        text.contains("does not answer") && !text.contains("hush"),
        "{text}"
    );
}

/// Returns the options of a client that speaks TLS to a server of that authority, and says who it is.
fn secure<'a>(
    topic: &'a str,
    (server, authority): (&'a str, &'a str),
    (mechanism, password): (&'a str, &'a str),
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("topic", topic),
        ("server", server),
        ("properties.security.protocol", "SASL_SSL"),
        ("properties.ssl.ca.location", authority),
        ("properties.sasl.mechanism", mechanism),
        ("properties.sasl.username", "alice"),
        ("properties.sasl.password", password),
    ]
}

#[test]
fn tls_and_sasl_are_passed_through() {
    if !available() {
        return;
    }
    let broker = shared();
    let (server, authority) = (broker.secure_server(), broker.authority());
    let with = |mechanism, password| secure("secure", (&server, &authority), (mechanism, password));
    let schema = numbered(0..1).schema();
    let (ctx, ..) = context();
    for (n, mechanism) in ["PLAIN", "SCRAM-SHA-512"].into_iter().enumerate() {
        let n = i64::try_from(n).unwrap();
        let with = with(mechanism, "alice-secret");
        let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
        writer
            .write(&batch(&numbered(n..n + 1), Sign::Insert), &ctx)
            .unwrap();
        assert_eq!(writer.flush(true, &ctx).unwrap(), Flushed::Durable(None));
    }
    assert_eq!(broker.peer("consume", "secure", &["2"], "").len(), 2);
    let columns = [("n", "BIGINT", DataType::Int64)];
    let mut reader = source(&columns, &with("SCRAM-SHA-512", "alice-secret"))
        .open(None, &ctx)
        .unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 2, &ctx);
    received.lines.sort();
    assert_eq!(received.lines, [r#"{"n":0}"#, r#"{"n":1}"#]);

    let (ctx, stop, events) = context();
    let mut writer = sink(&schema, &with("PLAIN", "wrong"))
        .open(&schema, None)
        .unwrap();
    writer
        .write(&batch(&numbered(0..1), Sign::Insert), &ctx)
        .unwrap();
    let flush = std::thread::spawn(move || writer.flush(true, &ctx));
    crate::support::binary::wait_until(|| !events.retries().is_empty(), "a retry is told");
    stop.stop();
    assert_eq!(flush.join().unwrap().unwrap_err().to_string(), "stopped");
    let told = events.retries().remove(0);
    assert!(told.contains("uthentication failed"), "{told}");
}

/// An OpenSSL without locks does not survive this.
#[test]
fn many_clients_begin_and_end_over_tls_at_the_same_time() {
    const CLIENTS: u64 = 6;
    const ROUNDS: u64 = 12;
    if !available() {
        return;
    }
    let broker = shared();
    let (server, authority) = (broker.secure_server(), broker.authority());
    let with = secure(
        "crowded",
        (&server, &authority),
        ("SCRAM-SHA-512", "alice-secret"),
    );
    let schema = numbered(0..1).schema();
    let begin = |ctx: &Context| {
        let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
        let rows = batch(&numbered(0..1), Sign::Insert);
        writer.write(&rows, ctx).unwrap();
        writer
    };
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (ctx, ..) = context();
                    let writer = begin(&ctx);
                    // Some end before the handshake, some within it, some after it.
                    std::thread::sleep(Duration::from_millis((client + 7 * round) % 50));
                    drop(writer);
                }
            });
        }
    });
    let (ctx, ..) = context();
    let flushed = begin(&ctx).flush(true, &ctx).unwrap();
    assert_eq!(flushed, Flushed::Durable(None));
}

#[test]
fn the_broker_is_waited_for_at_the_end_and_when_nothing_more_comes() {
    if !available() {
        return;
    }
    let broker = shared();
    broker.peer("topic", "overlapped", &["1"], "");
    let server = broker.server();
    // Messages linger so long that none can be acknowledged before the first look.
    let with = [
        ("topic", "overlapped"),
        ("server", server.as_str()),
        ("properties.linger.ms", "2000"),
    ];
    let schema = numbered(0..1).schema();
    let (context, ..) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    let mut write = |n: i64, end: bool| {
        let rows = batch(&numbered(n..n + 1), Sign::Insert);
        writer.write(&rows, &context).unwrap();
        let first = writer.flush(end, &context).unwrap();
        (first, writer.flush(false, &context).unwrap())
    };
    let durable = Flushed::Durable(None);
    assert_eq!(write(0, false), (Flushed::Pending, durable.clone()));
    assert_eq!(write(1, true), (durable.clone(), durable));
    assert_eq!(broker.peer("consume", "overlapped", &["all"], "").len(), 2);
}
