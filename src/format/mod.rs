//! Bytes to columns and columns to bytes: jq filters, JSON in and out, CSV out.
//!
//! Knows nothing of connectors, SQL or the engine; connectors call it. In data order: a body's text is read by
//! a [`scan::Cursor`], a filter ([`jq`]) says which values are rows, [`decode`] finds their members
//! ([`fields`]) and puts each [`value::Value`] into its [`column`] ([`number`] and [`instant`] read what is
//! written); on the way out [`json`] and [`csv`] write rows of Arrow columns ([`cell`]).

mod scan;
mod value;
mod number;
mod instant;
mod fields;
mod column;
mod jq;
mod decode;
mod cell;
mod json;
mod csv;

pub use self::column::native;
pub use self::csv::CsvEncoder;
pub use self::decode::{Decoder, Page};
pub use self::instant::TimestampUnit;
pub use self::jq::{Filter, JqError, Way};
pub use self::json::JsonEncoder;
