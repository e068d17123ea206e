//! Every type out and back, in JSON and in Avro.

use std::sync::Arc;

use omlsp::batch::array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use omlsp::batch::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use omlsp::batch::datatypes::{DataType, Field};
use omlsp::batch::{RecordBatch, Sign};
use omlsp::connector::Flushed;
use serde_json::json;

use crate::broker::{available, shared};
use crate::connect::{Received, batch, context, lines, sink, source};
use crate::rows_of;
use crate::support::registry::Registry;

/// Two rows: one with values at the edges, one of NULLs.
fn all_types() -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a\"b"), None]);
    tags.append_null();
    let mut counts = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    counts.keys().append_value("x y");
    counts.values().append_value(-3);
    counts.append(true).unwrap();
    counts.append(false).unwrap();
    let inner: Vec<(Arc<Field>, ArrayRef)> = vec![
        (
            Arc::new(Field::new("n", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![Some(7), None])),
        ),
        (
            Arc::new(Field::new("t", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("ß"), None])),
        ),
    ];
    let decimal = Decimal128Array::from(vec![Some(-12_345), None]);
    rows_of(vec![
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(-128), None]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(32_767), None]))),
        (
            "i32",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), None])),
        ),
        (
            "i64",
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
        ),
        (
            "u64",
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
        ),
        (
            "f32",
            Arc::new(Float32Array::from(vec![Some(42576.504), None])),
        ),
        ("f64", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        (
            "price",
            Arc::new(decimal.with_precision_and_scale(18, 4).unwrap()),
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![Some("line\nbreak \u{1F980}"), None])),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(19_724), None]))),
        (
            "clock",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(3_600_000_001),
                None,
            ])),
        ),
        (
            "ms",
            Arc::new(TimestampMillisecondArray::from(vec![
                Some(1_704_164_645_678),
                None,
            ])),
        ),
        (
            "us",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None])),
        ),
        (
            "ns",
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(1_704_164_645_678_901_234),
                None,
            ])),
        ),
        ("tags", Arc::new(tags.finish())),
        ("counts", Arc::new(counts.finish())),
        ("inner", Arc::new(StructArray::from(inner))),
    ])
}

/// Writes rows to a topic and returns what a source of the same columns reads there.
fn round_trip(rows: &RecordBatch, topic: &str, with: &[(&str, &str)]) -> Vec<String> {
    let server = shared().server();
    let mut with = with.to_vec();
    with.extend([("topic", topic), ("server", server.as_str())]);
    let schema = rows.schema();
    let (context, _, events) = context();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    writer.write(&batch(rows, Sign::Insert), &context).unwrap();
    assert_eq!(
        writer.flush(true, &context).unwrap(),
        Flushed::Durable(None)
    );
    assert_eq!(events.rejects(), [""; 0]);
    let columns: Vec<(&str, &str, DataType)> = (schema.fields().iter())
        .map(|field| (field.name().as_str(), "", field.data_type().clone()))
        .collect();
    let mut reader = source(&columns, &with).open(None, &context).unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), rows.num_rows(), &context);
    assert_eq!(received.rejects, [""; 0]);
    received
        .lines
        .sort_by_key(|line| line.starts_with("{\"yes\":null"));
    received.lines
}

#[test]
fn every_type_travels_as_json() {
    if !available() {
        return;
    }
    let rows = all_types();
    assert_eq!(round_trip(&rows, "types-json", &[]), lines(&rows));
    let seen = shared().peer("consume", "types-json", &["2"], "");
    let values: Vec<&str> = seen
        .iter()
        .map(|message| message["value"].as_str().unwrap())
        .collect();
    for line in lines(&rows) {
        assert!(
            values.contains(&line.as_str()),
            "{line} is not in {values:?}"
        );
    }
}

#[test]
fn every_type_travels_as_avro() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    let url = registry.url();
    let rows = all_types();
    let with = [("encode", "avro"), ("registry", url.as_str())];
    assert_eq!(round_trip(&rows, "types-avro", &with), lines(&rows));
    assert!(registry.latest("types-avro-value").is_some());

    let seen = shared().peer("consume", "types-avro", &["2", &url], "");
    let full = seen
        .iter()
        .find(|message| message["value"]["yes"] == true)
        .unwrap();
    let expected = json!({
        "yes": true, "i8": -128, "i16": 32_767, "i32": i32::MIN, "i64": i64::MAX,
        "u64": "18446744073709551615", "f32": full["value"]["f32"], "f64": 0.1, "price": "-1.2345",
        "name": "line\nbreak \u{1F980}", "day": "2024-01-02", "clock": "01:00:00.000001",
        "ms": "2024-01-02 03:04:05.678000+00:00", "us": "1969-12-31 23:59:59.999999+00:00",
        // Python's datetime has no nanoseconds, so its library gives the number.
        "ns": 1_704_164_645_678_901_234_i64,
        "tags": ["a\"b", null], "counts": {"x y": -3}, "inner": {"n": 7, "t": "ß"},
    });
    assert_eq!(full["value"], expected);
    assert!((full["value"]["f32"].as_f64().unwrap() - 42576.504).abs() < 0.001);
    let empty = seen
        .iter()
        .find(|message| message["value"]["yes"].is_null())
        .unwrap();
    let nulls = empty["value"].as_object().unwrap().iter();
    let not_null: Vec<&String> = nulls
        .filter(|(_, value)| !value.is_null())
        .map(|(name, _)| name)
        .collect();
    // The struct itself is there, its members are NULL.
    assert_eq!(not_null, ["inner"]);
    assert_eq!(empty["value"]["inner"], json!({"n": null, "t": null}));
}

#[test]
fn a_blob_travels_as_avro() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    let url = registry.url();
    let blob = BinaryArray::from(vec![Some(b"\x00\xffA".as_slice()), None]);
    let rows = rows_of(vec![("raw", Arc::new(blob))]);
    let server = shared().server();
    let with = [
        ("topic", "types-blob"),
        ("server", server.as_str()),
        ("encode", "avro"),
        ("registry", url.as_str()),
    ];
    let (context, ..) = context();
    let schema = rows.schema();
    let mut writer = sink(&schema, &with).open(&schema, None).unwrap();
    writer.write(&batch(&rows, Sign::Insert), &context).unwrap();
    writer.flush(true, &context).unwrap();
    let mut seen: Vec<String> = (shared()
        .peer("consume", "types-blob", &["2", &url], "")
        .iter())
    .map(|message| message["value"]["raw"].to_string())
    .collect();
    seen.sort();
    assert_eq!(seen, ["\"00ff41\"", "null"]);
    // The engine builds a BLOB of DuckDB's own text of it.
    let columns = [("raw", "BLOB", DataType::Utf8)];
    let mut reader = source(&columns, &with).open(None, &context).unwrap();
    let mut received = Received::default();
    received.read(reader.as_mut(), 2, &context);
    received.lines.sort();
    assert_eq!(
        received.lines,
        [r#"{"raw":"\\x00\\xFF\\x41"}"#, r#"{"raw":null}"#]
    );
}
