//! Tests of CSV.

use std::sync::Arc;

use super::*;
use crate::batch::array::{
    ArrayRef, Float64Array, ListArray, StringArray, TimestampMillisecondArray,
};
use crate::batch::datatypes::Int32Type;

#[test]
fn texts_are_quoted_where_needed_and_null_is_empty() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        Some("plain"),
        Some("a,\"b\"\nc"),
        None,
    ]));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(1.0),
        Some(f64::NAN),
        Some(0.1),
    ]));
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![
        Some(0),
        None,
        Some(1),
    ]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]));
    let columns = vec![("a b", texts), ("n", numbers), ("t", times), ("l", lists)];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let encoder = CsvEncoder::new(&batch.schema()).unwrap();
    let mut out = Vec::new();
    encoder.header(&mut out).unwrap();
    encoder.encode_lines(&batch, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "a b,n,t,l\n\
         plain,1.0,1970-01-01T00:00:00Z,\"[1,null]\"\n\
         \"a,\"\"b\"\"\nc\",,,\n\
         ,0.1,1970-01-01T00:00:00.001Z,[]\n"
    );
}

#[test]
fn an_only_null_is_still_a_line() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let batch = RecordBatch::try_from_iter_with_nullable([("a", texts, true)]).unwrap();
    let mut out = Vec::new();
    CsvEncoder::new(&batch.schema())
        .unwrap()
        .encode_lines(&batch, &mut out)
        .unwrap();
    assert_eq!(out, b"\"\"\n");
}
