//! Avro: relations to schemas, columns to Avro's binary form, and messages back to rows.
//!
//! A message is read into the JSON of its record, which goes through the same decoder as any JSON body, so
//! that both formats have one set of conversions. Columns are written straight into the binary form, types
//! looked at once per batch. Knows nothing of registries and framing; called by the kafka connector.
//!
//! Source: Apache Avro 1.12.0 specification, "Binary Encoding" and "Logical Types".

mod columns;
mod kind;
mod plan;
mod read;
mod relation;

pub use self::columns::{AvroEncoder, AvroRows};
pub use self::read::AvroReader;
pub use self::relation::avro_schema;

/// Appends a number in Avro's variable-length zig-zag form.
fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a length or a count.
fn write_length(length: usize, out: &mut Vec<u8>) {
    write_long(
        i64::try_from(length).expect("what is in memory has fewer than 2^63 bytes"),
        out,
    );
}

#[cfg(test)]
mod tests;
