//! One column of a batch, ready to be written cell by cell as JSON or as bare text.
//!
//! Types are looked at once per batch; per cell there is one indirect call. Knows nothing of lines and
//! separators; called by [`super::json`] and [`super::csv`].

use std::sync::Arc;

use anyhow::{Context as _, ensure};

use crate::batch::array::{Array, ArrayRef, AsArray as _};
use crate::batch::buffer::NullBuffer;
use crate::batch::compute;
use crate::batch::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::bytes::plain_length;
use super::column::unit_of;
use super::instant;

/// How texts are written, and what stands for a number that JSON has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Texts in quotes, NaN and infinities as `null`.
    Json,
    /// Texts as they are, NaN and infinities as nothing. Nested values are JSON all the same.
    Bare,
}

/// What the texts of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Plain,
    /// JSON, to be written as it is.
    Json,
}

type Write = Box<dyn Fn(usize, &mut Vec<u8>)>;

/// The cells of one column.
pub struct Cells {
    nulls: Option<NullBuffer>,
    write: Write,
}

impl Cells {
    /// Looks at a column.
    ///
    /// # Errors
    /// Its type has no text.
    pub fn of(array: &ArrayRef, content: Content, style: Style) -> anyhow::Result<Self> {
        let write = match (content, array.data_type()) {
            (Content::Json, DataType::Utf8) => raw_json(array),
            _ => writer(array, style)?,
        };
        Ok(Self {
            nulls: array.logical_nulls(),
            write,
        })
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a cell that is not NULL.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(row, out);
    }

    /// Appends a cell as JSON.
    #[inline]
    pub fn write_or_null(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
        } else {
            self.write(row, out);
        }
    }
}

fn writer(array: &ArrayRef, style: Style) -> anyhow::Result<Write> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => {
            let values = array.as_boolean().values().clone();
            Box::new(move |row, out| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            })
        }
        DataType::Int8 => number::<Int8Type>(array, write_number),
        DataType::Int16 => number::<Int16Type>(array, write_number),
        DataType::Int32 => number::<Int32Type>(array, write_number),
        DataType::Int64 => number::<Int64Type>(array, write_number),
        DataType::UInt8 => number::<UInt8Type>(array, write_number),
        DataType::UInt16 => number::<UInt16Type>(array, write_number),
        DataType::UInt32 => number::<UInt32Type>(array, write_number),
        DataType::UInt64 => number::<UInt64Type>(array, write_number),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values().clone();
            Box::new(move |row, out| write_float(values[row], values[row].is_finite(), style, out))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values().clone();
            Box::new(move |row, out| write_float(values[row], values[row].is_finite(), style, out))
        }
        DataType::Decimal128(_, scale) if *scale >= 0 => {
            let scale = usize::from(scale.unsigned_abs());
            let values = array.as_primitive::<Decimal128Type>().values().clone();
            Box::new(move |row, out| write_decimal(values[row], scale, out))
        }
        DataType::Date32 => quoted(style, number::<Date32Type>(array, instant::write_date)),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(_, _) => {
            quoted(style, clock(array)?)
        }
        DataType::Utf8 => text(array, style),
        DataType::Binary => {
            let values = array.as_binary::<i32>().clone();
            quoted(
                style,
                Box::new(move |row, out| write_base64(values.value(row), out)),
            )
        }
        DataType::List(_) | DataType::FixedSizeList(_, _) => list(array)?,
        DataType::Struct(_) => structure(array)?,
        DataType::Map(_, _) => map(array)?,
        other => writer(&converted(array, other)?, style)?,
    })
}

/// Casts a type that has no writer of its own to one that has.
fn converted(array: &ArrayRef, arrow: &DataType) -> anyhow::Result<ArrayRef> {
    let target = match arrow {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::LargeList(item) | DataType::ListView(item) => DataType::List(Arc::clone(item)),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        _ => DataType::Utf8,
    };
    ensure!(
        target != *arrow && compute::can_cast_types(arrow, &target),
        "a column of Arrow type {arrow} cannot be written as text"
    );
    compute::cast(array, &target)
        .with_context(|| format!("cannot write a column of Arrow type {arrow}"))
}

fn number<T: ArrowPrimitiveType>(array: &ArrayRef, write: fn(T::Native, &mut Vec<u8>)) -> Write {
    let values = array.as_primitive::<T>().values().clone();
    Box::new(move |row, out| write(values[row], out))
}

fn clock(array: &ArrayRef) -> anyhow::Result<Write> {
    use instant::{Timestamps, write_time};
    let unit = match array.data_type() {
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => *unit,
        other => anyhow::bail!("{other} is no type of instants"),
    };
    let ours = unit_of(unit);
    let timestamps = |values: crate::batch::buffer::ScalarBuffer<i64>| -> Write {
        let writer = Timestamps::new(ours);
        Box::new(move |row, out| writer.write(values[row], out))
    };
    Ok(match (array.data_type(), unit) {
        (DataType::Time32(_), TimeUnit::Second) => {
            let values = array.as_primitive::<Time32SecondType>().values().clone();
            Box::new(move |row, out| write_time(i64::from(values[row]), ours, out))
        }
        (DataType::Time32(_), _) => {
            let values = array
                .as_primitive::<Time32MillisecondType>()
                .values()
                .clone();
            Box::new(move |row, out| write_time(i64::from(values[row]), ours, out))
        }
        (DataType::Time64(_), TimeUnit::Microsecond) => {
            let values = array
                .as_primitive::<Time64MicrosecondType>()
                .values()
                .clone();
            Box::new(move |row, out| write_time(values[row], ours, out))
        }
        (DataType::Time64(_), _) => {
            let values = array
                .as_primitive::<Time64NanosecondType>()
                .values()
                .clone();
            Box::new(move |row, out| write_time(values[row], ours, out))
        }
        (_, TimeUnit::Second) => {
            timestamps(array.as_primitive::<TimestampSecondType>().values().clone())
        }
        (_, TimeUnit::Millisecond) => timestamps(
            array
                .as_primitive::<TimestampMillisecondType>()
                .values()
                .clone(),
        ),
        (_, TimeUnit::Microsecond) => timestamps(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .clone(),
        ),
        (_, TimeUnit::Nanosecond) => timestamps(
            array
                .as_primitive::<TimestampNanosecondType>()
                .values()
                .clone(),
        ),
    })
}

/// Puts quotes around what needs no escapes.
fn quoted(style: Style, write: Write) -> Write {
    match style {
        Style::Bare => write,
        Style::Json => Box::new(move |row, out| {
            out.push(b'"');
            write(row, out);
            out.push(b'"');
        }),
    }
}

fn text(array: &ArrayRef, style: Style) -> Write {
    let values = array.as_string::<i32>().clone();
    match style {
        Style::Json => Box::new(move |row, out| write_text(values.value(row), out)),
        Style::Bare => {
            Box::new(move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
        }
    }
}

/// Writes JSON texts as they are, on one line.
fn raw_json(array: &ArrayRef) -> Write {
    let values = array.as_string::<i32>().clone();
    Box::new(move |row, out| {
        let start = out.len();
        out.extend_from_slice(values.value(row).as_bytes());
        // Bare line breaks occur in JSON only between its tokens.
        for byte in &mut out[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    })
}

/// Where a row's items start and end.
type Bounds = Box<dyn Fn(usize) -> (usize, usize)>;

fn list(array: &ArrayRef) -> anyhow::Result<Write> {
    let (items, bounds): (Cells, Bounds) = match array.data_type() {
        DataType::FixedSizeList(_, length) => {
            let lists = array.as_fixed_size_list().clone();
            let length = usize::try_from(*length).context("a list of negative length")?;
            let items = Cells::of(lists.values(), Content::Plain, Style::Json)?;
            (
                items,
                Box::new(move |row| (row * length, (row + 1) * length)),
            )
        }
        _ => {
            let lists = array.as_list::<i32>();
            let items = Cells::of(lists.values(), Content::Plain, Style::Json)?;
            (items, bounds_of(lists.offsets()))
        }
    };
    Ok(Box::new(move |row, out| {
        let (start, end) = bounds(row);
        out.push(b'[');
        for item in start..end {
            if item > start {
                out.push(b',');
            }
            items.write_or_null(item, out);
        }
        out.push(b']');
    }))
}

fn bounds_of(offsets: &crate::batch::buffer::OffsetBuffer<i32>) -> Bounds {
    let offsets = offsets.clone();
    let at =
        move |row: usize| usize::try_from(offsets[row]).expect("Arrow's offsets are not negative");
    Box::new(move |row| (at(row), at(row + 1)))
}

fn structure(array: &ArrayRef) -> anyhow::Result<Write> {
    let structs = array.as_struct();
    let mut members = Vec::new();
    for (number, (field, column)) in structs.fields().iter().zip(structs.columns()).enumerate() {
        let mut head = vec![if number == 0 { b'{' } else { b',' }];
        write_text(field.name(), &mut head);
        head.push(b':');
        members.push((head, Cells::of(column, content_of(field), Style::Json)?));
    }
    Ok(Box::new(move |row, out| {
        if members.is_empty() {
            out.push(b'{');
        }
        for (head, cells) in &members {
            out.extend_from_slice(head);
            cells.write_or_null(row, out);
        }
        out.push(b'}');
    }))
}

/// Writes a map with text keys as an object, any other as an array of `{"key": …, "value": …}`.
fn map(array: &ArrayRef) -> anyhow::Result<Write> {
    let maps = array.as_map();
    let text_keys = *maps.key_type() == DataType::Utf8;
    let keys = Cells::of(maps.keys(), Content::Plain, Style::Json)?;
    let values = Cells::of(maps.values(), Content::Plain, Style::Json)?;
    let bounds = bounds_of(maps.offsets());
    Ok(Box::new(move |row, out| {
        let (start, end) = bounds(row);
        out.push(if text_keys { b'{' } else { b'[' });
        for entry in start..end {
            if entry > start {
                out.push(b',');
            }
            if text_keys {
                keys.write_or_null(entry, out);
                out.push(b':');
                values.write_or_null(entry, out);
            } else {
                out.extend_from_slice(b"{\"key\":");
                keys.write_or_null(entry, out);
                out.extend_from_slice(b",\"value\":");
                values.write_or_null(entry, out);
                out.push(b'}');
            }
        }
        out.push(if text_keys { b'}' } else { b']' });
    }))
}

/// Says whether a field's metadata declares its texts to be JSON (Arrow's canonical extension `arrow.json`).
pub fn content_of(field: &crate::batch::datatypes::Field) -> Content {
    match field.metadata().get("ARROW:extension:name") {
        Some(name) if name == "arrow.json" => Content::Json,
        _ => Content::Plain,
    }
}

/// Appends a number as serde_json does: integers in full, floats as the shortest text that reads back as the
/// same float, with `.0` where integral.
fn write_number<T: serde::Serialize>(value: T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &value).expect("a number serializes, and memory takes it");
}

fn write_float<T: serde::Serialize>(value: T, finite: bool, style: Style, out: &mut Vec<u8>) {
    match (finite, style) {
        (true, _) => write_number(value, out),
        (false, Style::Json) => out.extend_from_slice(b"null"),
        (false, Style::Bare) => {}
    }
}

/// Appends a decimal with all digits of its scale.
fn write_decimal(value: i128, scale: usize, out: &mut Vec<u8>) {
    if scale == 0 {
        write_number(value, out);
        return;
    }
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    write_number(value.unsigned_abs(), out);
    // At least one digit stands before the point.
    let digits = out.len() - start;
    if digits <= scale {
        out.splice(start..start, std::iter::repeat_n(b'0', scale + 1 - digits));
    }
    out.insert(out.len() - scale, b'.');
}

/// Appends bytes in base64 with padding (RFC 4648, section 4).
pub fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let sextet = usize::try_from(group >> (18 - 6 * place) & 63).expect("six bits fit");
            out.push(if place <= chunk.len() {
                ALPHABET[sextet]
            } else {
                b'='
            });
        }
    }
}

/// Appends a text in quotes with the escapes it needs.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if plain_length(bytes) == bytes.len() {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    super::value::write_text(text, &mut escaped);
    out.extend_from_slice(escaped.as_bytes());
}
