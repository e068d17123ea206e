//! Tests of columns: what converts to what, and what does not.

use std::sync::Arc;

use super::*;
use crate::batch::array::AsArray as _;
use crate::batch::compute::cast;
use crate::batch::datatypes::{Field, Fields};
use crate::format::value::Value;

/// Puts values into a column of the type and shows each as Arrow's text, or what was refused.
fn put(arrow: &DataType, sql_type: &str, values: &[&str]) -> Vec<String> {
    let mut builder = builder(arrow, sql_type, None);
    let mut shown: Vec<String> = Vec::new();
    for value in values {
        let rows = builder.len();
        match builder.append(Value::of(value)) {
            Ok(()) => shown.push(String::new()),
            Err(misfit) => {
                assert_eq!(builder.len(), rows);
                shown.push(format!(
                    "{}: {} is not {}",
                    misfit.path, misfit.shown, misfit.expected
                ));
            }
        }
    }
    let array = cast(&builder.finish(), &DataType::Utf8).unwrap();
    let mut texts = array.as_string::<i32>().iter();
    for text in shown.iter_mut().filter(|text| text.is_empty()) {
        *text = texts.next().unwrap().unwrap_or("NULL").to_owned();
    }
    assert!(texts.next().is_none());
    shown
}

fn check(arrow: &DataType, sql_type: &str, cases: &[(&str, &str)]) {
    let values: Vec<&str> = cases.iter().map(|(value, _)| *value).collect();
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(put(arrow, sql_type, &values), expected);
}

#[test]
fn integers_refuse_fractions_text_and_what_is_out_of_range() {
    check(
        &DataType::Int8,
        "TINYINT",
        &[
            ("127", "127"),
            ("128", ": 128 is not TINYINT"),
            ("1.0", "1"),
            ("1.5", ": 1.5 is not TINYINT"),
            ("\"12\"", "12"),
            ("\"\"", ":  is not TINYINT"),
            ("\"abc\"", ": abc is not TINYINT"),
            ("true", ": true is not TINYINT"),
            ("[1]", ": [1] is not TINYINT"),
            ("null", "NULL"),
            ("-0", "0"),
        ],
    );
    check(
        &DataType::UInt64,
        "UBIGINT",
        &[
            ("18446744073709551615", "18446744073709551615"),
            ("-1", ": -1 is not UBIGINT"),
        ],
    );
}

#[test]
fn decimals_come_from_the_digits() {
    check(
        &DataType::Decimal128(18, 2),
        "DECIMAL(18,2)",
        &[
            ("0.1", "0.10"),
            ("\"1.005\"", "1.01"),
            ("9007199254740993.01", "9007199254740993.01"),
            (
                "12345678901234567.8",
                ": 12345678901234567.8 is not DECIMAL(18,2)",
            ),
        ],
    );
    check(
        &DataType::Decimal128(38, 0),
        "HUGEINT",
        &[
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999",
            ),
            ("1e38", ": 1e38 is not HUGEINT"),
        ],
    );
}

#[test]
fn floats_take_numbers_in_strings() {
    check(
        &DataType::Float32,
        "FLOAT",
        &[
            ("42576.504", "42576.504"),
            ("\"1e3\"", "1000.0"),
            ("1e39", ": 1e39 is not FLOAT"),
        ],
    );
    check(
        &DataType::Float64,
        "DOUBLE",
        &[("\" 1.5 \"", "1.5"), ("false", ": false is not DOUBLE")],
    );
}

#[test]
fn booleans_take_true_and_false_only() {
    check(
        &DataType::Boolean,
        "BOOLEAN",
        &[
            ("true", "true"),
            ("\"FALSE\"", "false"),
            ("1", ": 1 is not BOOLEAN"),
            ("\"yes\"", ": yes is not BOOLEAN"),
        ],
    );
}

#[test]
fn timestamps_take_epochs_and_iso_8601() {
    let arrow = DataType::Timestamp(TimeUnit::Millisecond, None);
    check(
        &arrow,
        "TIMESTAMP_MS",
        &[
            ("1704164645", "2024-01-02T03:04:05"),
            ("1704164645678", "2024-01-02T03:04:05.678"),
            ("\"1704164645678\"", "2024-01-02T03:04:05.678"),
            (
                "\"2024-01-02T04:04:05.678+01:00\"",
                "2024-01-02T03:04:05.678",
            ),
            ("\"2024-01-02\"", "2024-01-02T00:00:00"),
            ("\"yesterday\"", ": yesterday is not TIMESTAMP_MS"),
            ("{}", ": {} is not TIMESTAMP_MS"),
        ],
    );
    check(
        &DataType::Date32,
        "DATE",
        &[
            ("\"2024-01-02\"", "2024-01-02"),
            ("19724", ": 19724 is not DATE"),
        ],
    );
    check(
        &DataType::Time64(TimeUnit::Microsecond),
        "TIME",
        &[("\"03:04:05.5\"", "03:04:05.500"), ("3", ": 3 is not TIME")],
    );
}

#[test]
fn text_takes_anything_and_keeps_numbers_as_written() {
    check(
        &DataType::Utf8,
        "VARCHAR",
        &[
            ("\"a\\n\\u00e9\"", "a\né"),
            ("1.10", "1.10"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("true", "true"),
            ("{ \"a\" : [ 1 ] }", "{\"a\":[1]}"),
            ("null", "NULL"),
        ],
    );
    check(
        &DataType::Utf8,
        "JSON",
        &[
            ("\"a\"", "\"a\""),
            ("[1, 2]", "[1,2]"),
            ("1.10", "1.10"),
            ("null", "NULL"),
        ],
    );
}

fn shown(arrow: &DataType, values: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut builder = builder(arrow, &sql_name(arrow), None);
    let mut refused = Vec::new();
    for value in values {
        if let Err(misfit) = builder.append(Value::of(value)) {
            refused.push(format!(
                "{}: {} is not {}",
                misfit.path, misfit.shown, misfit.expected
            ));
        }
    }
    let array = builder.finish();
    array.to_data().validate_full().unwrap();
    let cells = crate::format::cell::Cells::of(
        &array,
        crate::format::cell::Content::Plain,
        crate::format::cell::Style::Json,
    )
    .unwrap();
    let mut texts = Vec::new();
    for row in 0..array.len() {
        let mut out = Vec::new();
        cells.write_or_null(row, &mut out);
        texts.push(String::from_utf8(out).unwrap());
    }
    (texts, refused)
}

#[test]
fn nested_types_take_objects_and_arrays() {
    let field = |name: &str, arrow: DataType| Arc::new(Field::new(name, arrow, true));
    let list = DataType::List(field("item", DataType::Int32));
    let structure = DataType::Struct(Fields::from(vec![
        field("a", DataType::Int32),
        field("B", list.clone()),
    ]));
    let (texts, refused) = shown(
        &structure,
        &[
            r#"{"a":1,"b":[1,"2",null]}"#,
            r#"{"a":2,"b":[3,"x"]}"#,
            "{}",
            "null",
            "[1]",
            r#"{"B":[7],"a":"4"}"#,
        ],
    );
    assert_eq!(
        texts,
        [
            r#"{"a":1,"B":[1,2,null]}"#,
            r#"{"a":null,"B":null}"#,
            "null",
            r#"{"a":4,"B":[7]}"#
        ]
    );
    assert_eq!(refused, [".B[1]: x is not INTEGER", ": [1] is not STRUCT"]);

    let entries = Fields::from(vec![
        Arc::new(Field::new("key", DataType::Utf8, false)),
        field("value", DataType::Float64),
    ]);
    let map = DataType::Map(
        Arc::new(Field::new("entries", DataType::Struct(entries), false)),
        false,
    );
    let (texts, refused) = shown(
        &map,
        &[r#"{"x":1,"y":2,"x":3}"#, r#"{"z":"?"}"#, "{}", "null"],
    );
    assert_eq!(texts, [r#"{"x":3.0,"y":2.0}"#, "{}", "null"]);
    assert_eq!(refused, [".z: ? is not DOUBLE"]);

    let fixed = DataType::FixedSizeList(field("item", DataType::Int64), 2);
    let (texts, refused) = shown(&fixed, &["[1,2]", "[1]", "null", "[3,4]", "[5,{}]"]);
    assert_eq!(texts, ["[1,2]", "null", "[3,4]"]);
    assert_eq!(refused, [": [1] is not BIGINT[2]", "[1]: {} is not BIGINT"]);
}
