//! Columns under construction: JSON values in, one Arrow array out.
//!
//! A builder takes one value or refuses it and stays as it was; it can also forget its last rows, so that a
//! row that fails in its third column leaves nothing behind in the first two. Knows nothing of bodies and
//! filters; called by [`super::decode`].

mod nested;
mod scalar;

use crate::batch::array::ArrayRef;
use crate::batch::datatypes::{DataType, TimeUnit};

use super::instant::TimestampUnit;
use super::value::Value;

/// A value that does not fit, and where: boxed, since it is the rare case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The place inside a nested value, such as `.tags[3]`; empty for the value itself.
    pub path: String,
    pub shown: String,
    /// The type in SQL's words.
    pub expected: String,
}

impl Misfit {
    pub fn new(value: &Value<'_>, expected: &str) -> Box<Self> {
        Box::new(Self {
            path: String::new(),
            shown: value.shown(),
            expected: expected.to_owned(),
        })
    }

    /// Puts a step in front of the place.
    fn within(mut self: Box<Self>, step: &str) -> Box<Self> {
        self.path.insert_str(0, step);
        self
    }
}

/// One array under construction.
pub trait ColumnBuilder: Send {
    /// Appends a value, or NULL for JSON `null`.
    ///
    /// # Errors
    /// The value does not fit; the builder is unchanged.
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>>;

    fn append_null(&mut self);

    /// Makes room for so many rows more, where that is known to help.
    fn reserve(&mut self, _rows: usize) {}

    fn len(&self) -> usize;

    /// Forgets all rows but the first `rows`.
    fn truncate(&mut self, rows: usize);

    /// Returns the array and starts over.
    fn finish(&mut self) -> ArrayRef;
}

/// Returns a builder for a type that [`native`] accepts; any other type is built as text.
///
/// `sql_type` is the type's name for messages; `JSON` makes the text of any value its JSON.
pub fn builder(
    arrow: &DataType,
    sql_type: &str,
    unit: Option<TimestampUnit>,
) -> Box<dyn ColumnBuilder> {
    nested::builder(arrow, sql_type, unit)
        .or_else(|| scalar::builder(arrow, sql_type, unit))
        .unwrap_or_else(|| scalar::text_builder(sql_type))
}

/// Says whether values of this Arrow type are built natively. Others are to be declared `Utf8` and cast.
pub fn native(arrow: &DataType) -> bool {
    match arrow {
        DataType::List(item) | DataType::FixedSizeList(item, _) => native(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| native(field.data_type())),
        DataType::Map(entries, false) => match entries.data_type() {
            DataType::Struct(fields) => {
                fields.len() == 2 && fields.iter().all(|field| native(field.data_type()))
            }
            _ => false,
        },
        DataType::Decimal128(_, scale) => *scale >= 0,
        DataType::Time32(unit) => matches!(unit, TimeUnit::Second | TimeUnit::Millisecond),
        // DuckDB takes nanoseconds of a day from Arrow as microseconds.
        DataType::Time64(unit) => *unit == TimeUnit::Microsecond,
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Date32
        | DataType::Timestamp(_, _) => true,
        _ => false,
    }
}

/// Returns the unit of an Arrow time type.
pub fn unit_of(unit: TimeUnit) -> TimestampUnit {
    match unit {
        TimeUnit::Second => TimestampUnit::Second,
        TimeUnit::Millisecond => TimestampUnit::Millisecond,
        TimeUnit::Microsecond => TimestampUnit::Microsecond,
        TimeUnit::Nanosecond => TimestampUnit::Nanosecond,
    }
}

/// Returns SQL's words for the type of a member of a nested type, for messages.
pub fn sql_name(arrow: &DataType) -> String {
    match arrow {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "UTINYINT".to_owned(),
        DataType::UInt16 => "USMALLINT".to_owned(),
        DataType::UInt32 => "UINTEGER".to_owned(),
        DataType::UInt64 => "UBIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(_, _) => "TIMESTAMP".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::List(item) => format!("{}[]", sql_name(item.data_type())),
        DataType::FixedSizeList(item, length) => {
            format!("{}[{length}]", sql_name(item.data_type()))
        }
        DataType::Struct(_) => "STRUCT".to_owned(),
        DataType::Map(_, _) => "MAP".to_owned(),
        _ => "VARCHAR".to_owned(),
    }
}

#[cfg(test)]
mod tests;
