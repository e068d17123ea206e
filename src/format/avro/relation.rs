//! A relation's columns as an Avro schema.
//!
//! * integers up to 32 bits: `int`; `BIGINT` and `UINTEGER`: `long`; `UBIGINT`, `HUGEINT`, `DECIMAL`: `decimal`
//! * `TIMESTAMP` of seconds and milliseconds: `timestamp-millis`, of microseconds: `timestamp-micros`, of
//!   nanoseconds: `timestamp-nanos`, all of them UTC; `DATE`: `date`; `TIME`: `time-micros`
//! * lists: `array`; structs: `record`; maps with text keys: `map`, other maps: an array of `key` and `value`
//! * `BLOB`: `bytes`; everything else (`ENUM`, `UUID`, `JSON`, `INTERVAL`, …): `string`
//!
//! Every column and member is a union with `null`, which is its default.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::batch::Schema;
use crate::batch::datatypes::{DataType, Field, TimeUnit};

/// Returns the schema of rows with these columns, as JSON. The record is called `name`, with characters that
/// Avro's names do not have as `_`.
///
/// # Errors
/// A column or member whose name Avro does not take.
pub fn avro_schema(schema: &Schema, name: &str) -> anyhow::Result<String> {
    let fields: Vec<&Field> = schema.fields().iter().map(|field| field.as_ref()).collect();
    Ok(record(&fields, &record_name(name))?.to_string())
}

/// Source: Apache Avro 1.12.0 specification, "Names".
fn record_name(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().map(kept).collect();
    match name.bytes().next() {
        Some(first) if !first.is_ascii_digit() => name,
        _ => format!("_{name}"),
    }
}

fn record(fields: &[&Field], name: &str) -> anyhow::Result<Value> {
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let field_name = field.name();
        ensure!(
            record_name(field_name) == *field_name,
            "column `{field_name}` cannot be the name of an Avro field: give it one of letters, digits and `_`"
        );
        let inner = type_of(field.data_type(), &format!("{name}_{field_name}"))?;
        members.push(json!({"name": field_name, "type": ["null", inner], "default": null}));
    }
    Ok(json!({"type": "record", "name": name, "fields": members}))
}

/// `path` names the records inside.
fn type_of(arrow: &DataType, path: &str) -> anyhow::Result<Value> {
    let logical = |of: &str, name: &str| json!({"type": of, "logicalType": name});
    Ok(match arrow {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            json!("int")
        }
        DataType::Int64 | DataType::UInt32 => json!("long"),
        DataType::UInt64 => decimal(20, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => decimal(*precision, *scale),
        DataType::Float16 | DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => json!("bytes"),
        DataType::FixedSizeBinary(_) => json!("bytes"),
        DataType::Date32 | DataType::Date64 => logical("int", "date"),
        // Avro has no unit finer than the microsecond for times of day.
        DataType::Time32(_) | DataType::Time64(TimeUnit::Microsecond) => {
            logical("long", "time-micros")
        }
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) => {
            logical("long", "timestamp-millis")
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => logical("long", "timestamp-micros"),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => logical("long", "timestamp-nanos"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => {
            let inner = type_of(item.data_type(), &format!("{path}_item"))?;
            json!({"type": "array", "items": ["null", inner]})
        }
        DataType::Struct(fields) => {
            let fields: Vec<&Field> = fields.iter().map(|field| field.as_ref()).collect();
            record(&fields, path)?
        }
        DataType::Map(entries, _) => map(entries, path)?,
        _ => json!("string"),
    })
}

fn decimal(precision: u8, scale: i8) -> Value {
    json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
}

fn map(entries: &Field, path: &str) -> anyhow::Result<Value> {
    let DataType::Struct(fields) = entries.data_type() else {
        anyhow::bail!("a map without entries");
    };
    let [key, value] = [&fields[0], &fields[1]];
    if *key.data_type() == DataType::Utf8 {
        let inner = type_of(value.data_type(), &format!("{path}_value"))?;
        return Ok(json!({"type": "map", "values": ["null", inner]}));
    }
    let key = Field::new("key", key.data_type().clone(), true);
    let value = Field::new("value", value.data_type().clone(), true);
    let entry = record(&[&key, &value], &format!("{path}_entry"))?;
    Ok(json!({"type": "array", "items": entry}))
}
