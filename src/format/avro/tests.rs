//! Avro in and out: columns to bytes and back, and against `apache_avro` itself.

use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::{AvroEncoder, AvroReader, avro_schema};
use crate::batch::array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use crate::batch::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int64Array, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{Column, RecordBatch};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap()
}

fn all_types() -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None]);
    tags.append_null();
    let mut counts = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    counts.keys().append_value("x");
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
            Arc::new(StringArray::from(vec![None, Some("\"q\"")])),
        ),
    ];
    let decimal = Decimal128Array::from(vec![Some(-12_345), Some(128)]);
    batch(vec![
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("tiny", Arc::new(Int8Array::from(vec![Some(-1), Some(127)]))),
        (
            "big",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX)])),
        ),
        (
            "huge",
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0)])),
        ),
        (
            "single",
            Arc::new(Float32Array::from(vec![Some(42576.504), Some(f32::NAN)])),
        ),
        (
            "double",
            Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NEG_INFINITY)])),
        ),
        (
            "price",
            Arc::new(decimal.with_precision_and_scale(9, 2).unwrap()),
        ),
        (
            "name",
            Arc::new(StringArray::from(vec![Some("ß\n"), Some("")])),
        ),
        (
            "raw",
            Arc::new(BinaryArray::from(vec![Some(b"\x00\xffA".as_slice()), None])),
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![Some(19_724), Some(-1)])),
        ),
        (
            "clock",
            Arc::new(Time64MicrosecondArray::from(vec![Some(1_000_001), None])),
        ),
        (
            "millis",
            Arc::new(TimestampMillisecondArray::from(vec![
                Some(1_704_164_645_678),
                None,
            ])),
        ),
        (
            "micros",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(-1),
                Some(1_704_164_645_000_000),
            ])),
        ),
        ("tags", Arc::new(tags.finish())),
        ("counts", Arc::new(counts.finish())),
        ("inner", Arc::new(StructArray::from(inner))),
    ])
}

fn encode(batch: &RecordBatch, schema: &str) -> Vec<Vec<u8>> {
    let encoder = AvroEncoder::new(&batch.schema(), schema).unwrap();
    let rows = encoder.rows(batch).unwrap();
    let encode_row = |row| {
        let mut out = Vec::new();
        rows.write(row, &mut out).unwrap();
        out
    };
    (0..batch.num_rows()).map(encode_row).collect()
}

fn json(schema: &str, message: &[u8]) -> String {
    let mut out = Vec::new();
    let reader = AvroReader::new(schema, &[]).unwrap();
    reader.write_json(message, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_type_goes_out_and_comes_back() {
    let batch = all_types();
    let schema = avro_schema(&batch.schema(), "all.types").unwrap();
    let messages = encode(&batch, &schema);
    assert_eq!(
        json(&schema, &messages[0]),
        r#"{"yes":true,"tiny":-1,"big":-9223372036854775808,"huge":18446744073709551615,"single":42576.504,"double":0.1,"price":-123.45,"name":"ß\n","raw":"\\x00\\xFF\\x41","day":"2024-01-02","clock":"00:00:01.000001","millis":"2024-01-02T03:04:05.678Z","micros":"1969-12-31T23:59:59.999999Z","tags":["a",null],"counts":{"x":-3},"inner":{"n":7,"t":null}}"#
    );
    assert_eq!(
        json(&schema, &messages[1]),
        r#"{"yes":null,"tiny":127,"big":9223372036854775807,"huge":0,"single":"nan","double":"-inf","price":1.28,"name":"","raw":null,"day":"1969-12-31","clock":null,"millis":null,"micros":"2024-01-02T03:04:05Z","tags":null,"counts":null,"inner":{"n":null,"t":"\"q\""}}"#
    );
}

#[test]
fn apache_avro_reads_the_same() {
    let batch = all_types();
    let text = avro_schema(&batch.schema(), "all.types").unwrap();
    let schema = apache_avro::Schema::parse_str(&text).unwrap();
    let message = encode(&batch, &text).remove(0);
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut message.as_slice()).unwrap();
    let Value::Record(fields) = value else {
        panic!("no record")
    };
    let field = |name: &str| match fields.iter().find(|(known, _)| known == name).unwrap() {
        (_, Value::Union(1, value)) => value.as_ref().clone(),
        (_, other) => panic!("{name} is {other:?}"),
    };
    assert_eq!(field("big"), Value::Long(i64::MIN));
    assert_eq!(field("single"), Value::Float(42576.504));
    assert_eq!(
        field("price"),
        Value::Decimal((-12_345_i128).to_be_bytes()[14..].to_vec().into())
    );
    assert_eq!(field("millis"), Value::TimestampMillis(1_704_164_645_678));
    assert_eq!(field("micros"), Value::TimestampMicros(-1));
    assert_eq!(field("day"), Value::Date(19_724));
    assert_eq!(field("raw"), Value::Bytes(b"\x00\xffA".to_vec()));
    // And what it writes of the same value are the same bytes.
    let again = reader.read_value(&mut message.as_slice()).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    assert_eq!(writer.write_value_to_vec(again).unwrap(), message);
}

#[test]
fn a_schema_of_others_is_filled_by_name() {
    let schema = r#"{"type":"record","name":"r","namespace":"a.b","fields":[
        {"name":"TINY","type":"long"},
        {"name":"extra","type":"string","default":"none"},
        {"name":"price","type":{"type":"fixed","name":"f","size":8,"logicalType":"decimal","precision":18,"scale":4}},
        {"name":"side","type":{"type":"enum","name":"e","symbols":["buy","sell"]}},
        {"name":"other","type":["null","f"]},
        {"name":"at","type":[{"type":"long","logicalType":"timestamp-millis"},"null"]}]}"#;
    let price = Decimal128Array::from(vec![-1, 5])
        .with_precision_and_scale(9, 2)
        .unwrap();
    let batch = batch(vec![
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None])),
        ),
        ("side", Arc::new(StringArray::from(vec!["sell", "hold"]))),
        ("tiny", Arc::new(Int8Array::from(vec![1, 2]))),
        ("price", Arc::new(price)),
    ]);
    let encoder = AvroEncoder::new(&batch.schema(), schema).unwrap();
    let rows = encoder.rows(&batch).unwrap();
    let mut out = Vec::new();
    rows.write(0, &mut out).unwrap();
    let expected = r#"{"TINY":1,"extra":"none","price":-0.0100,"side":"sell","other":null,"at":"1969-12-31T23:59:59.999Z"}"#;
    assert_eq!(json(schema, &out), expected);
    let length = out.len();
    let refused = rows.write(1, &mut out).unwrap_err();
    assert_eq!(refused, "field `side`: `hold` is no symbol of the enum");
    assert_eq!(out.len(), length);
}

#[test]
fn what_does_not_fit_is_named_with_both_types() {
    let schema = r#"{"type":"record","name":"r","fields":[
        {"name":"big","type":"int"},{"name":"name","type":["null","double"]},
        {"name":"inner","type":{"type":"record","name":"i","fields":[{"name":"n","type":"long"},{"name":"u","type":"int"}]}}]}"#;
    let all = all_types();
    let index = |name: &str| all.schema().index_of(name).unwrap();
    let batch = all
        .project(&[index("big"), index("name"), index("inner"), index("yes")])
        .unwrap();
    let error = AvroEncoder::new(&batch.schema(), schema)
        .unwrap_err()
        .to_string();
    for part in [
        "field `big` is int in the schema, the column is BIGINT",
        "field `name` is double in the schema, the column is VARCHAR",
        "field `inner.u` has no column, no default, and is not nullable",
        "column `inner.t` has no field in the schema",
        "column `yes` has no field in the schema",
    ] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn columns_that_cannot_be_filled_are_named() {
    let schema = r#"{"type":"record","name":"r","fields":[
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"raw","type":"bytes"},{"name":"n","type":["null","long"]}]}"#;
    let column = |name: &str, sql_type: &str, arrow| Column {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        arrow,
        nullable: true,
        in_key: false,
    };
    let columns = [
        column("AT", "BIGINT", DataType::Int64),
        column("raw", "VARCHAR", DataType::Utf8),
        column("n", "DOUBLE", DataType::Float64),
        column("missing", "DOUBLE", DataType::Float64),
    ];
    let reader = AvroReader::new(schema, &columns).unwrap();
    assert_eq!(
        reader.misfits(),
        [
            "field `at` is timestamp-millis, column `AT` is BIGINT",
            "field `raw` is bytes, column `raw` is VARCHAR"
        ]
    );
}

#[test]
fn broken_messages_are_errors_and_no_panic() {
    let schema = r#"{"type":"record","name":"node","fields":[
        {"name":"next","type":["null","node"]},{"name":"items","type":{"type":"array","items":"null"}},
        {"name":"text","type":"string"}]}"#;
    let reader = AvroReader::new(schema, &[]).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..20_000 {
        let length = random.usize(0..40);
        let message: Vec<u8> = (0..length).map(|_| random.u8(0..12)).collect();
        let mut out = Vec::new();
        if reader.write_json(&message, &mut out).is_ok() {
            serde_json::from_slice::<serde_json::Value>(&out).unwrap();
        }
    }
    let deep = [2_u8; 5000];
    let error = reader.write_json(&deep, &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").contains("nested deeper"), "{error:#}");
    let many = [&[0][..], &[0xfe, 0xff, 0xff, 0xff, 0x0f]].concat();
    let error = reader.write_json(&many, &mut Vec::new()).unwrap_err();
    assert!(
        format!("{error:#}").contains("too many empty items"),
        "{error:#}"
    );
}

#[test]
fn a_scale_of_any_size_is_read_or_refused() {
    let schema = |scale: usize| {
        format!(
            r#"{{"type":"record","name":"r","fields":[{{"name":"n","type":
            {{"type":"bytes","logicalType":"decimal","precision":1000000,"scale":{scale}}}}}]}}"#
        )
    };
    let read = json(&schema(1000), &[2, 5]);
    assert_eq!(read, format!(r#"{{"n":0.{:01000}}}"#, 5));
    for scale in [1001, 65_536, 1_000_000] {
        let Err(error) = AvroReader::new(&schema(scale), &[]) else {
            panic!("a scale of {scale}");
        };
        let told = format!("a decimal of scale {scale} is not supported");
        assert!(format!("{error:#}").contains(&told), "{error:#}");
    }
}

#[test]
fn a_json_column_takes_the_text_of_a_string_as_json() {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"j","type":["null","string"]}]}"#;
    let column = Column {
        name: "j".to_owned(),
        sql_type: "JSON".to_owned(),
        arrow: DataType::Utf8,
        nullable: true,
        in_key: false,
    };
    let reader = AvroReader::new(schema, &[column]).unwrap();
    for (text, expected) in [
        (r#"{"a":[1]}"#, r#"{"j":{"a":[1]}}"#),
        ("plain", r#"{"j":"plain"}"#),
    ] {
        let mut message = vec![2];
        super::write_length(text.len(), &mut message);
        message.extend_from_slice(text.as_bytes());
        let mut out = Vec::new();
        reader.write_json(&message, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
