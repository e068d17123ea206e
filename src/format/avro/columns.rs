//! The columns of a batch to Avro's binary form, row by row.
//!
//! Types are looked at once per batch; per value there is one indirect call and no allocation.

use crate::batch::array::{Array, ArrayRef, AsArray as _};
use crate::batch::buffer::{NullBuffer, OffsetBuffer};
use crate::batch::compute::cast;
use crate::batch::datatypes::{
    DataType, Decimal128Type, Field, Float32Type, Float64Type, Int64Type,
};
use crate::batch::{RecordBatch, Schema};

use super::kind::{Kind, Kinds};
use super::plan::{self, Member, Slot, Target};
use super::{write_length, write_long};

/// Writes rows of one relation as records of one schema. Shared by threads.
#[derive(Clone, Debug)]
pub struct AvroEncoder {
    members: Vec<Member>,
    columns: usize,
}

/// Appends the value of a row, or says why it cannot be one; what it appended is then to be cut off.
type Write = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), String>>;

impl AvroEncoder {
    /// Matches the columns of a relation with the fields of a schema, by name.
    ///
    /// # Errors
    /// It is no schema of a record, or names and types that do not fit, all of them.
    pub fn new(schema: &Schema, avro: &str) -> anyhow::Result<Self> {
        let kinds = Kinds::parse(avro)?;
        let Kind::Record(fields) = kinds.get(kinds.root()) else {
            anyhow::bail!(
                "the schema is not one of a record, but of {}",
                kinds.shown(kinds.root())
            );
        };
        let columns: Vec<&Field> = schema.fields().iter().map(|field| field.as_ref()).collect();
        let members = plan::record(&kinds, fields, &columns, "")
            .map_err(|faults| anyhow::anyhow!("{}", faults.join("; ")))?;
        let encoder = Self {
            members,
            columns: columns.len(),
        };
        // Whatever cannot be written is found before the first row.
        encoder.rows(&RecordBatch::new_empty(schema.clone()))?;
        Ok(encoder)
    }

    /// Looks at the columns of a batch.
    ///
    /// # Errors
    /// The batch is not of the encoder's relation.
    pub fn rows(&self, batch: &RecordBatch) -> anyhow::Result<AvroRows> {
        anyhow::ensure!(
            batch.num_columns() == self.columns,
            "the batch has {} columns, the encoder {}",
            batch.num_columns(),
            self.columns
        );
        let members = members(&self.members, batch.columns())?;
        Ok(AvroRows { members })
    }
}

/// The rows of one batch, ready to be written.
pub struct AvroRows {
    members: Vec<MemberWriter>,
}

impl AvroRows {
    /// Appends one row as a record.
    ///
    /// # Errors
    /// A value that its field cannot hold, by name; `out` is as it was.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        let written = write_members(&self.members, row, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }
}

enum MemberWriter {
    Column { name: String, slot: SlotWriter },
    Constant(Vec<u8>),
}

fn members(plan: &[Member], columns: &[ArrayRef]) -> anyhow::Result<Vec<MemberWriter>> {
    let writer = |member: &Member| {
        Ok(match member {
            Member::Constant(bytes) => MemberWriter::Constant(bytes.clone()),
            Member::Column { source, name, slot } => MemberWriter::Column {
                name: name.clone(),
                slot: SlotWriter::new(slot, &columns[*source])?,
            },
        })
    };
    plan.iter().map(writer).collect()
}

fn write_members(members: &[MemberWriter], row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    for member in members {
        match member {
            MemberWriter::Constant(bytes) => out.extend_from_slice(bytes),
            MemberWriter::Column { name, slot } => slot
                .write(row, out)
                .map_err(|why| format!("field `{name}`: {why}"))?,
        }
    }
    Ok(())
}

struct SlotWriter {
    nulls: Option<NullBuffer>,
    null_branch: Option<i64>,
    value_branch: Option<i64>,
    write: Write,
}

impl SlotWriter {
    fn new(slot: &Slot, array: &ArrayRef) -> anyhow::Result<Self> {
        Ok(Self {
            nulls: array.logical_nulls(),
            null_branch: slot.null_branch,
            value_branch: slot.value_branch,
            write: writer(&slot.target, array)?,
        })
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            let branch = self.null_branch;
            let branch = branch.ok_or("NULL, but the schema's field is not nullable")?;
            write_long(branch, out);
            return Ok(());
        }
        if let Some(branch) = self.value_branch {
            write_long(branch, out);
        }
        (self.write)(row, out)
    }
}

fn writer(target: &Target, array: &ArrayRef) -> anyhow::Result<Write> {
    Ok(match target {
        Target::Boolean => {
            let values = array.as_boolean().values().clone();
            Box::new(move |row, out| {
                out.push(u8::from(values.value(row)));
                Ok(())
            })
        }
        Target::Integer => {
            let values = integers(array)?;
            Box::new(move |row, out| {
                write_long(values[row], out);
                Ok(())
            })
        }
        Target::Float => {
            let cast = cast(array, &DataType::Float32)?;
            let values = cast.as_primitive::<Float32Type>().values().clone();
            Box::new(move |row, out| {
                out.extend_from_slice(&values[row].to_le_bytes());
                Ok(())
            })
        }
        Target::Double => {
            let cast = cast(array, &DataType::Float64)?;
            let values = cast.as_primitive::<Float64Type>().values().clone();
            Box::new(move |row, out| {
                out.extend_from_slice(&values[row].to_le_bytes());
                Ok(())
            })
        }
        Target::Instant { multiply, divide } => instants(array, *multiply, *divide)?,
        Target::Decimal { factor, fixed } => decimals(array, *factor, *fixed)?,
        Target::Text => texts(array)?,
        Target::Enum(symbols) => symbols_of(array, symbols)?,
        Target::Bytes => {
            let cast = cast(array, &DataType::Binary)?;
            let values = cast.as_binary::<i32>().clone();
            Box::new(move |row, out| {
                write_length(values.value(row).len(), out);
                out.extend_from_slice(values.value(row));
                Ok(())
            })
        }
        Target::Fixed(size) => fixed(array, *size)?,
        Target::Array(slot) => list(slot, array)?,
        Target::Map(slot) => map(slot, array)?,
        Target::Entries(plan) => {
            let maps = array.as_map();
            let entries = members(plan, maps.entries().columns())?;
            let bounds = bounds_of(maps.offsets());
            Box::new(move |row, out| {
                items(bounds(row), out, |item, out| {
                    write_members(&entries, item, out)
                })
            })
        }
        Target::Record(plan) => {
            let members = members(plan, array.as_struct().columns())?;
            Box::new(move |row, out| write_members(&members, row, out))
        }
    })
}

/// Writes bytes of exactly `size`.
fn fixed(array: &ArrayRef, size: usize) -> anyhow::Result<Write> {
    let cast = cast(array, &DataType::Binary)?;
    let values = cast.as_binary::<i32>().clone();
    Ok(Box::new(move |row, out| {
        let bytes = values.value(row);
        if bytes.len() != size {
            return Err(format!("{} bytes, expected {size}", bytes.len()));
        }
        out.extend_from_slice(bytes);
        Ok(())
    }))
}

type Integers = crate::batch::buffer::ScalarBuffer<i64>;

fn integers(array: &ArrayRef) -> anyhow::Result<Integers> {
    let array = match array.data_type() {
        // Arrow has no way from 32-bit times to 64-bit integers but through their own width.
        DataType::Time32(_) => cast(array, &DataType::Int32)?,
        DataType::Date64 => cast(array, &DataType::Date32)?,
        _ => array.clone(),
    };
    let array = match array.data_type() {
        DataType::Date32 => cast(&array, &DataType::Int32)?,
        _ => array,
    };
    let cast = cast(&array, &DataType::Int64)?;
    Ok(cast.as_primitive::<Int64Type>().values().clone())
}

fn instants(array: &ArrayRef, multiply: i64, divide: i64) -> anyhow::Result<Write> {
    let values = integers(array)?;
    Ok(Box::new(move |row, out| {
        // DuckDB's infinities stay what they are in every unit.
        let value = match values[row] {
            infinite @ (i64::MAX | -9_223_372_036_854_775_807) => infinite,
            value => {
                let scaled = value.checked_mul(multiply);
                scaled
                    .ok_or("beyond the range of its field")?
                    .div_euclid(divide)
            }
        };
        write_long(value, out);
        Ok(())
    }))
}

fn decimals(array: &ArrayRef, factor: i128, fixed: Option<usize>) -> anyhow::Result<Write> {
    let wide = match array.data_type() {
        DataType::Decimal128(_, _) => array.clone(),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            cast(array, &DataType::Decimal128(38, *scale))?
        }
        _ => cast(array, &DataType::Decimal128(38, 0))?,
    };
    let values = wide.as_primitive::<Decimal128Type>().values().clone();
    Ok(Box::new(move |row, out| {
        let value = values[row].checked_mul(factor);
        let value = value.ok_or("beyond the range of its field")?;
        let bytes = value.to_be_bytes();
        // As few bytes as hold the number and its sign.
        let signs = if value < 0 {
            value.leading_ones()
        } else {
            value.leading_zeros()
        };
        let needed = 16 - usize::try_from((signs - 1) / 8).expect("at most 15 bytes are spared");
        let Some(size) = fixed else {
            write_length(needed, out);
            out.extend_from_slice(&bytes[16 - needed..]);
            return Ok(());
        };
        if needed > size {
            return Err(format!("a decimal of {needed} bytes, expected {size}"));
        }
        let fill = if value < 0 { 0xff } else { 0 };
        out.extend(std::iter::repeat_n(fill, size - needed));
        out.extend_from_slice(&bytes[16 - needed..]);
        Ok(())
    }))
}

fn texts(array: &ArrayRef) -> anyhow::Result<Write> {
    let cast = cast(array, &DataType::Utf8)?;
    let values = cast.as_string::<i32>().clone();
    Ok(Box::new(move |row, out| {
        write_length(values.value(row).len(), out);
        out.extend_from_slice(values.value(row).as_bytes());
        Ok(())
    }))
}

fn symbols_of(array: &ArrayRef, symbols: &[String]) -> anyhow::Result<Write> {
    let cast = cast(array, &DataType::Utf8)?;
    let values = cast.as_string::<i32>().clone();
    let symbols = symbols.to_vec();
    Ok(Box::new(move |row, out| {
        let value = values.value(row);
        let place = symbols.iter().position(|symbol| symbol == value);
        let place = place.ok_or_else(|| format!("`{value}` is no symbol of the enum"))?;
        write_length(place, out);
        Ok(())
    }))
}

fn bounds_of(offsets: &OffsetBuffer<i32>) -> Box<dyn Fn(usize) -> (usize, usize)> {
    let offsets = offsets.clone();
    let at = move |row: usize| usize::try_from(offsets[row]).expect("offsets are not negative");
    Box::new(move |row| (at(row), at(row + 1)))
}

/// Appends the items of one array or map as one block, and the empty block that ends it.
fn items(
    (start, end): (usize, usize),
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if end > start {
        write_length(end - start, out);
        for place in start..end {
            item(place, out)?;
        }
    }
    out.push(0);
    Ok(())
}

/// Says where the items of a row's list begin and end.
type Bounds = Box<dyn Fn(usize) -> (usize, usize)>;

fn list(slot: &Slot, array: &ArrayRef) -> anyhow::Result<Write> {
    let (values, bounds): (SlotWriter, Bounds) = match array.data_type() {
        DataType::FixedSizeList(_, length) => {
            let lists = array.as_fixed_size_list();
            let length = usize::try_from(*length)?;
            let values = SlotWriter::new(slot, lists.values())?;
            (
                values,
                Box::new(move |row| (row * length, (row + 1) * length)),
            )
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let values = SlotWriter::new(slot, lists.values())?;
            (values, bounds_of(lists.offsets()))
        }
        DataType::LargeList(item) | DataType::ListView(item) => {
            let narrow = cast(array, &DataType::List(item.clone()))?;
            return list(slot, &narrow);
        }
        other => anyhow::bail!("{other} is no list"),
    };
    Ok(Box::new(move |row, out| {
        items(bounds(row), out, |item, out| values.write(item, out))
    }))
}

fn map(slot: &Slot, array: &ArrayRef) -> anyhow::Result<Write> {
    let maps = array.as_map();
    let keys = texts(maps.keys())?;
    let values = SlotWriter::new(slot, maps.values())?;
    let bounds = bounds_of(maps.offsets());
    Ok(Box::new(move |row, out| {
        items(bounds(row), out, |item, out| {
            keys(item, out)?;
            values.write(item, out)
        })
    }))
}
