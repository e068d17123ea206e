//! Bytes to columns and columns to bytes: jq filters, JSON and Avro in and out, CSV out.
//!
//! Knows nothing of connectors, SQL or the engine; connectors call it. In data order: a body's text is read by
//! a [`scan::Cursor`], a filter ([`jq`]) says which values are rows, [`decode`] finds their members
//! ([`fields`]) and puts each [`value::Value`] into its [`mod@column`] ([`number`] and [`instant`] read what is
//! written); on the way out [`json`] and [`csv`] write rows of Arrow columns ([`cell`]). [`avro`] reads messages into
//! JSON for the decoder, and writes columns straight into Avro's binary form.

mod avro;
mod bytes;
mod cell;
mod column;
mod csv;
mod decode;
mod fields;
mod instant;
mod jq;
mod json;
mod number;
mod scan;
#[cfg(test)]
mod testing;
mod value;

pub use self::avro::{AvroEncoder, AvroReader, AvroRows, avro_schema};
pub use self::cell::{Cells, Content, Style, content_of, write_base64};
pub use self::column::native;
pub use self::csv::CsvEncoder;
pub use self::decode::{Decoder, Page, not_text};
pub use self::instant::TimestampUnit;
pub use self::jq::{Filter, JqError, Way};
pub use self::json::{JsonEncoder, JsonRows, row_json};
