//! A message's binary form to the JSON of its record.
//!
//! `bytes` become DuckDB's text of a BLOB (`\xAB`), timestamps and dates ISO 8601, decimals numbers with all
//! their digits, NaN and infinities their words in quotes, `duration` DuckDB's text of an INTERVAL.

use anyhow::{Context as _, bail, ensure};

use super::kind::{Kind, KindId, Kinds, RecordField};
use crate::batch::Column;
use crate::batch::datatypes::DataType;
use crate::format::cell::write_text;
use crate::format::instant::{write_date, write_time, write_timestamp};

/// Reads messages of one schema. Shared by threads.
#[derive(Clone, Debug)]
pub struct AvroReader {
    kinds: Kinds,
    /// The names of all fields as `"name":`, by the number of their record's kind.
    heads: std::collections::HashMap<KindId, Vec<Vec<u8>>>,
    /// The numbers of the message's fields whose column is JSON: their texts are JSON already.
    json_fields: Vec<usize>,
    misfits: Vec<String>,
}

/// Values nested deeper than this are no data of ours, but an attack on the stack.
const DEPTH_MAX: usize = 64;

/// Items of one list that take no bytes at all (`null`s, empty records): more than this is an attack.
const EMPTY_ITEMS_MAX: u64 = 100_000;

impl AvroReader {
    /// Parses a schema, to fill the given columns.
    ///
    /// # Errors
    /// It is no Avro schema, or has a type that cannot be read.
    pub fn new(schema: &str, columns: &[Column]) -> anyhow::Result<Self> {
        let kinds = Kinds::parse(schema)?;
        let mut reader = Self {
            kinds,
            heads: std::collections::HashMap::new(),
            json_fields: Vec::new(),
            misfits: Vec::new(),
        };
        reader.collect_heads(reader.kinds.root());
        reader.match_columns(columns);
        Ok(reader)
    }

    fn collect_heads(&mut self, id: KindId) {
        match self.kinds.get(id).clone() {
            Kind::Record(fields) if !self.heads.contains_key(&id) => {
                let head = |field: &RecordField| {
                    let mut head = Vec::new();
                    write_text(&field.name, &mut head);
                    head.push(b':');
                    head
                };
                self.heads.insert(id, fields.iter().map(head).collect());
                fields
                    .iter()
                    .for_each(|field| self.collect_heads(field.kind));
            }
            Kind::Array(inner) | Kind::Map(inner) => self.collect_heads(inner),
            Kind::Union(branches) => branches.iter().for_each(|one| self.collect_heads(*one)),
            _ => {}
        }
    }

    /// Says why the columns cannot be filled from messages of this schema, one line per column; empty if
    /// they can. A column without a field is NULL.
    pub fn misfits(&self) -> &[String] {
        &self.misfits
    }

    fn match_columns(&mut self, columns: &[Column]) {
        let Kind::Record(fields) = self.kinds.get(self.kinds.root()).clone() else {
            return;
        };
        for column in columns {
            let same = |field: &RecordField| field.name == column.name;
            let nearly = |field: &RecordField| field.name.eq_ignore_ascii_case(&column.name);
            let found = (fields.iter().position(same)).or_else(|| fields.iter().position(nearly));
            let Some(found) = found else { continue };
            let field = &fields[found];
            if column.sql_type.eq_ignore_ascii_case("JSON") {
                self.json_fields.push(found);
            } else if !self.fits(field.kind, column) {
                self.misfits.push(format!(
                    "field `{}` is {}, column `{}` is {}",
                    field.name,
                    self.kinds.shown(field.kind),
                    column.name,
                    column.sql_type
                ));
            }
        }
    }

    fn fits(&self, id: KindId, column: &Column) -> bool {
        let arrow = &column.arrow;
        let text = *arrow == DataType::Utf8;
        let blob = column.sql_type.eq_ignore_ascii_case("BLOB");
        let instant = matches!(arrow, DataType::Timestamp(_, _));
        match self.kinds.get(id) {
            Kind::Null => true,
            Kind::Union(branches) => branches
                .iter()
                .any(|one| !matches!(self.kinds.get(*one), Kind::Null) && self.fits(*one, column)),
            Kind::Boolean => text || *arrow == DataType::Boolean,
            Kind::Int | Kind::Long | Kind::Float | Kind::Double => {
                text || instant || arrow.is_numeric()
            }
            Kind::Decimal { .. } => text || arrow.is_numeric(),
            Kind::Bytes | Kind::Fixed(_) => blob,
            Kind::Text | Kind::Enum(_) | Kind::UuidText | Kind::UuidBytes { .. } => {
                !arrow.is_nested() && !blob
            }
            Kind::Array(_) => {
                text || matches!(arrow, DataType::List(_) | DataType::FixedSizeList(_, _))
            }
            Kind::Map(_) | Kind::Record(_) => {
                text || matches!(arrow, DataType::Map(_, _) | DataType::Struct(_))
            }
            Kind::Date => text || instant || *arrow == DataType::Date32,
            Kind::Time(_) => text || matches!(arrow, DataType::Time32(_) | DataType::Time64(_)),
            Kind::Timestamp(_) => text || instant || *arrow == DataType::Date32,
            Kind::Duration => text,
        }
    }

    /// Appends the JSON of one message.
    ///
    /// # Errors
    /// The bytes are not of this schema; `out` then ends with a part of the JSON.
    pub fn write_json(&self, message: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        let mut bytes = Bytes { rest: message };
        self.value(self.kinds.root(), &mut bytes, out, 0)?;
        ensure!(
            bytes.rest.is_empty(),
            "{} bytes are left over after the record",
            bytes.rest.len()
        );
        Ok(())
    }

    fn value(
        &self,
        id: KindId,
        bytes: &mut Bytes<'_>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> anyhow::Result<()> {
        ensure!(depth < DEPTH_MAX, "nested deeper than {DEPTH_MAX} levels");
        match self.kinds.get(id) {
            Kind::Union(branches) => {
                let branch = usize::try_from(bytes.long()?).ok();
                let branch = branch.and_then(|branch| branches.get(branch));
                let branch = branch.context("a union has no such branch")?;
                self.value(*branch, bytes, out, depth + 1)?;
            }
            Kind::Record(fields) => {
                for (number, (field, head)) in fields.iter().zip(&self.heads[&id]).enumerate() {
                    out.push(if number == 0 { b'{' } else { b',' });
                    out.extend_from_slice(head);
                    let start = out.len();
                    self.value(field.kind, bytes, out, depth + 1)
                        .with_context(|| format!("field `{}`", field.name))?;
                    if depth == 0 && self.json_fields.contains(&number) {
                        unwrap_json(out, start);
                    }
                }
                if fields.is_empty() {
                    out.push(b'{');
                }
                out.push(b'}');
            }
            Kind::Array(items) => {
                out.push(b'[');
                self.blocks(bytes, out, |bytes, out| {
                    self.value(*items, bytes, out, depth + 1)
                })?;
                out.push(b']');
            }
            Kind::Map(values) => {
                out.push(b'{');
                self.blocks(bytes, out, |bytes, out| {
                    write_text(bytes.text()?, out);
                    out.push(b':');
                    self.value(*values, bytes, out, depth + 1)
                })?;
                out.push(b'}');
            }
            other => scalar(other, bytes, out)?,
        }
        Ok(())
    }

    /// Reads the blocks of an array or map, with a comma between items.
    fn blocks(
        &self,
        bytes: &mut Bytes<'_>,
        out: &mut Vec<u8>,
        mut item: impl FnMut(&mut Bytes<'_>, &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut first = true;
        let mut empty = 0;
        loop {
            let count = bytes.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The block's length in bytes, for readers that skip it.
                bytes.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                if !first {
                    out.push(b',');
                }
                first = false;
                let before = bytes.rest.len();
                item(bytes, out)?;
                empty += u64::from(before == bytes.rest.len());
                ensure!(empty <= EMPTY_ITEMS_MAX, "a list has too many empty items");
            }
        }
    }
}

/// Replaces the string at the end of `out` by its text, if that is JSON itself.
fn unwrap_json(out: &mut Vec<u8>, start: usize) {
    if let Ok(text) = serde_json::from_slice::<String>(&out[start..])
        && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok()
    {
        out.truncate(start);
        out.extend_from_slice(text.as_bytes());
    }
}

fn scalar(kind: &Kind, bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> anyhow::Result<()> {
    match kind {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Boolean => match bytes.take(1)?[0] {
            0 => out.extend_from_slice(b"false"),
            1 => out.extend_from_slice(b"true"),
            other => bail!("{other} is no boolean"),
        },
        Kind::Int | Kind::Long => write_number(&bytes.long()?, out),
        Kind::Float => {
            let value = f32::from_le_bytes(bytes.array()?);
            write_float(&value, f64::from(value), out);
        }
        Kind::Double => {
            let value = f64::from_le_bytes(bytes.array()?);
            write_float(&value, value, out);
        }
        Kind::Text | Kind::UuidText => write_text(bytes.text()?, out),
        Kind::Bytes => write_blob(bytes.prefixed()?, out),
        Kind::Fixed(size) => write_blob(bytes.take(*size)?, out),
        Kind::Enum(words) => {
            let word = usize::try_from(bytes.long()?).ok();
            let word = word.and_then(|word| words.get(word));
            write_text(word.context("an enum has no such symbol")?, out);
        }
        Kind::Decimal { scale, fixed, .. } => {
            let digits = match fixed {
                Some(size) => bytes.take(*size)?,
                None => bytes.prefixed()?,
            };
            write_decimal(integer_of(digits)?, *scale, out);
        }
        Kind::UuidBytes { prefixed } => {
            let uuid = if *prefixed {
                bytes.prefixed()?
            } else {
                bytes.take(16)?
            };
            ensure!(uuid.len() == 16, "a UUID of {} bytes", uuid.len());
            write_uuid(uuid, out);
        }
        Kind::Date => {
            let days = i32::try_from(bytes.long()?).context("a date")?;
            quoted(out, |out| write_date(days, out));
        }
        Kind::Time(unit) => {
            let value = bytes.long()?;
            quoted(out, |out| write_time(value, *unit, out));
        }
        Kind::Timestamp(unit) => {
            let value = bytes.long()?;
            quoted(out, |out| write_timestamp(value, *unit, out));
        }
        Kind::Duration => {
            let mut part = || anyhow::Ok(u32::from_le_bytes(bytes.array()?));
            let (months, days, millis) = (part()?, part()?, part()?);
            let text = format!("{months} months {days} days {millis} milliseconds");
            write_text(&text, out);
        }
        Kind::Union(_) | Kind::Record(_) | Kind::Array(_) | Kind::Map(_) => {
            unreachable!("types with members are read by the caller")
        }
    }
    Ok(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_number<T: serde::Serialize>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a number serializes, and memory takes it");
}

/// Appends a float as the shortest number that reads back as the same, or as its word in quotes.
fn write_float<T: serde::Serialize>(value: &T, wide: f64, out: &mut Vec<u8>) {
    if wide.is_finite() {
        write_number(value, out);
    } else if wide.is_nan() {
        out.extend_from_slice(b"\"nan\"");
    } else {
        out.extend_from_slice(if wide > 0.0 { b"\"inf\"" } else { b"\"-inf\"" });
    }
}

/// Appends bytes as DuckDB writes a BLOB, in a JSON string.
fn write_blob(bytes: &[u8], out: &mut Vec<u8>) {
    quoted(out, |out| {
        for byte in bytes {
            out.extend_from_slice(b"\\\\x");
            write_hex(*byte, out);
        }
    });
}

fn write_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

/// Appends a UUID in its usual groups (RFC 9562, section 4).
fn write_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    quoted(out, |out| {
        for (place, byte) in bytes.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                out.push(b'-');
            }
            write_hex(*byte, out);
        }
    });
}

/// Reads a two's complement number, its big end first.
fn integer_of(bytes: &[u8]) -> anyhow::Result<i128> {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let surplus = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at(surplus);
    let mut full = [fill; 16];
    full[16 - tail.len()..].copy_from_slice(tail);
    let value = i128::from_be_bytes(full);
    let fits = head.iter().all(|byte| *byte == fill) && (value < 0) == negative;
    ensure!(fits, "a decimal of more than 38 digits");
    Ok(value)
}

fn write_decimal(value: i128, scale: usize, out: &mut Vec<u8>) {
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

/// What is left of a message.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let taken = self.rest.split_at_checked(length);
        let (taken, rest) = taken.context("the message ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        Ok(self
            .take(N)?
            .try_into()
            .expect("`take` gives as many bytes"))
    }

    fn long(&mut self) -> anyhow::Result<i64> {
        let mut value = 0_u64;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        bail!("a number has no end")
    }

    /// Takes bytes with their length in front.
    fn prefixed(&mut self) -> anyhow::Result<&'a [u8]> {
        let length = usize::try_from(self.long()?).context("a negative length")?;
        self.take(length)
    }

    fn text(&mut self) -> anyhow::Result<&'a str> {
        std::str::from_utf8(self.prefixed()?).context("a string is not UTF-8")
    }
}
