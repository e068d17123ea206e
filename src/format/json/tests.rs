//! Tests of JSON lines.

use std::sync::Arc;

use super::*;
use crate::batch::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, LargeStringArray,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampSecondArray,
    UInt64Array,
};
use crate::batch::datatypes::{
    DataType, Field, Int32Type, IntervalMonthDayNano, Schema as ArrowSchema,
};

fn lines(columns: Vec<(&str, ArrayRef)>, json_columns: &[&str]) -> Vec<String> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let encoder = JsonEncoder::new(&batch.schema(), json_columns).unwrap();
    let mut out = Vec::new();
    encoder.encode_lines(&batch, &mut out).unwrap();
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn one(array: ArrayRef) -> Vec<String> {
    let lines = lines(vec![("c", array)], &[]);
    lines
        .iter()
        .map(|line| {
            line.strip_prefix("{\"c\":")
                .unwrap()
                .strip_suffix('}')
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn floats_are_the_shortest_that_read_back() {
    let singles = Float32Array::from(vec![
        42576.504,
        1.0,
        -0.1,
        f32::NAN,
        f32::INFINITY,
        f32::MAX,
    ]);
    assert_eq!(
        one(Arc::new(singles)),
        ["42576.504", "1.0", "-0.1", "null", "null", "3.4028235e+38"]
    );
    let doubles = Float64Array::from(vec![
        Some(0.1),
        Some(100.0),
        None,
        Some(1e300),
        Some(5e-324),
    ]);
    assert_eq!(
        one(Arc::new(doubles)),
        ["0.1", "100.0", "null", "1e+300", "5e-324"]
    );
}

#[test]
fn floats_read_back_as_the_same_bits() {
    let mut random = fastrand::Rng::with_seed(5);
    let values: Vec<f64> = (0..10_000)
        .map(|_| f64::from_bits(random.u64(..)))
        .filter(|f| f.is_finite())
        .collect();
    let texts = one(Arc::new(Float64Array::from(values.clone())));
    for (value, text) in values.iter().zip(texts) {
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
    }
}

#[test]
fn integers_and_decimals_have_all_their_digits() {
    assert_eq!(
        one(Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ["18446744073709551615"]
    );
    let decimals = Decimal128Array::from(vec![110, -5, 0, 123_456_789_012_345_678_901_234_567_890]);
    let decimals = decimals.with_precision_and_scale(38, 2).unwrap();
    assert_eq!(
        one(Arc::new(decimals)),
        ["1.10", "-0.05", "0.00", "1234567890123456789012345678.90"]
    );
    let huge = Decimal128Array::from(vec![i128::MAX / 10, -7])
        .with_precision_and_scale(38, 0)
        .unwrap();
    assert_eq!(
        one(Arc::new(huge)),
        ["17014118346046923173168730371588410572", "-7"]
    );
}

#[test]
fn instants_are_iso_8601() {
    let micros =
        TimestampMicrosecondArray::from(vec![1_704_164_645_678_000, 1_704_164_645_000_000, 1, -1]);
    assert_eq!(
        one(Arc::new(micros.clone().with_timezone("UTC"))),
        one(Arc::new(micros.clone()))
    );
    assert_eq!(
        one(Arc::new(micros)),
        [
            "\"2024-01-02T03:04:05.678Z\"",
            "\"2024-01-02T03:04:05Z\"",
            "\"1970-01-01T00:00:00.000001Z\"",
            "\"1969-12-31T23:59:59.999999Z\"",
        ]
    );
    assert_eq!(
        one(Arc::new(TimestampSecondArray::from(vec![0]))),
        ["\"1970-01-01T00:00:00Z\""]
    );
    assert_eq!(
        one(Arc::new(Date32Array::from(vec![19_724]))),
        ["\"2024-01-02\""]
    );
    assert_eq!(
        one(Arc::new(Time64MicrosecondArray::from(vec![11_045_500_000]))),
        ["\"03:04:05.500\""]
    );
}

#[test]
fn texts_are_escaped_and_bytes_base64() {
    let texts = StringArray::from(vec!["plain", "q\"\\\n\t\u{1}é", ""]);
    assert_eq!(
        one(Arc::new(texts)),
        ["\"plain\"", "\"q\\\"\\\\\\n\\t\\u0001é\"", "\"\""]
    );
    let bytes = BinaryArray::from(vec![
        b"".as_ref(),
        b"f",
        b"fo",
        b"foo",
        b"foob",
        b"\xFF\xEE",
    ]);
    assert_eq!(
        one(Arc::new(bytes)),
        [
            "\"\"",
            "\"Zg==\"",
            "\"Zm8=\"",
            "\"Zm9v\"",
            "\"Zm9vYg==\"",
            "\"/+4=\""
        ]
    );
}

#[test]
fn json_is_written_as_it_is_on_one_line() {
    let json: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"a\":\n 1}"), None]));
    assert_eq!(
        lines(vec![("J", Arc::clone(&json))], &["j"]),
        ["{\"J\":{\"a\":  1}}", "{\"J\":null}"]
    );
    let extension = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned())];
    let field = Field::new("j", DataType::Utf8, true).with_metadata(extension);
    let schema: Schema = Arc::new(ArrowSchema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![json]).unwrap();
    let mut out = Vec::new();
    JsonEncoder::new(&schema, &[])
        .unwrap()
        .encode(&batch, 0, &mut out)
        .unwrap();
    assert_eq!(out, b"{\"j\":{\"a\":  1}}");
}

#[test]
fn foreign_types_are_texts() {
    let words: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("x")].into_iter().collect();
    assert_eq!(one(Arc::new(words)), ["\"x\"", "null", "\"x\""]);
    assert_eq!(
        one(Arc::new(LargeStringArray::from(vec!["a\"b"]))),
        ["\"a\\\"b\""]
    );
    let span =
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3_000_000_000)]);
    assert_eq!(one(Arc::new(span)), ["\"1 mons 2 days 3.000000000 secs\""]);
}

#[test]
fn a_slice_of_a_batch_writes_its_own_rows() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
    let lists: ArrayRef = Arc::new(crate::batch::array::ListArray::from_iter_primitive::<
        Int32Type,
        _,
        _,
    >(vec![
        Some(vec![Some(1)]),
        Some(vec![]),
        Some(vec![Some(2), None]),
    ]));
    let batch = RecordBatch::try_from_iter(vec![("n", numbers), ("t", truths), ("l", lists)])
        .unwrap()
        .slice(1, 2);
    let encoder = JsonEncoder::new(&batch.schema(), &[]).unwrap();
    let mut out = Vec::new();
    encoder
        .encode_lines_with(&batch, "\"op\":\"insert\"", &mut out)
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"op\":\"insert\",\"n\":null,\"t\":false,\"l\":[]}\n{\"op\":\"insert\",\"n\":3,\"t\":true,\"l\":[2,null]}\n"
    );
}
