//! Builders of columns without members: booleans, numbers, instants, text.

use std::sync::Arc;

use crate::batch::array::builder::{BooleanBufferBuilder, NullBufferBuilder};
use crate::batch::array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use crate::batch::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use crate::batch::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::{ColumnBuilder, Misfit, unit_of};
use crate::format::instant::{self, TimestampUnit};
use crate::format::number;
use crate::format::value::Value;

/// Returns a builder, if the type has no members and is native.
pub fn builder(
    arrow: &DataType,
    sql_type: &str,
    fixed: Option<TimestampUnit>,
) -> Option<Box<dyn ColumnBuilder>> {
    let spec = Spec {
        arrow: arrow.clone(),
        sql_type: sql_type.to_owned(),
        fixed,
    };
    Some(match arrow {
        DataType::Boolean => Box::new(Booleans {
            values: BooleanBufferBuilder::new(0),
            valid: NullBufferBuilder::new(0),
            sql_type: sql_type.to_owned(),
        }),
        DataType::Int8 => primitive::<Int8Type>(spec, parse_integer::<Int8Type>),
        DataType::Int16 => primitive::<Int16Type>(spec, parse_integer::<Int16Type>),
        DataType::Int32 => primitive::<Int32Type>(spec, parse_integer::<Int32Type>),
        DataType::Int64 => primitive::<Int64Type>(spec, parse_integer::<Int64Type>),
        DataType::UInt8 => primitive::<UInt8Type>(spec, parse_integer::<UInt8Type>),
        DataType::UInt16 => primitive::<UInt16Type>(spec, parse_integer::<UInt16Type>),
        DataType::UInt32 => primitive::<UInt32Type>(spec, parse_integer::<UInt32Type>),
        DataType::UInt64 => primitive::<UInt64Type>(spec, parse_integer::<UInt64Type>),
        DataType::Float32 => {
            primitive::<Float32Type>(spec, |text, _| number::float(text.digits()?))
        }
        DataType::Float64 => {
            primitive::<Float64Type>(spec, |text, _| number::double(text.digits()?))
        }
        DataType::Decimal128(_, _) => primitive::<Decimal128Type>(spec, parse_decimal),
        DataType::Date32 => {
            primitive::<Date32Type>(spec, |text, _| instant::date_of_text(text.words()?))
        }
        DataType::Time32(_) | DataType::Time64(_) => return time_builder(spec),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => primitive::<TimestampSecondType>(spec, parse_timestamp),
            TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(spec, parse_timestamp),
            TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(spec, parse_timestamp),
            TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(spec, parse_timestamp),
        },
        DataType::Utf8 => text_builder(sql_type),
        _ => return None,
    })
}

fn time_builder(spec: Spec) -> Option<Box<dyn ColumnBuilder>> {
    Some(match spec.arrow {
        DataType::Time32(TimeUnit::Second) => primitive::<Time32SecondType>(spec, |text, _| {
            i32::try_from(instant::time_of_text(text.words()?, TimestampUnit::Second)?).ok()
        }),
        DataType::Time32(TimeUnit::Millisecond) => {
            primitive::<Time32MillisecondType>(spec, |text, _| {
                i32::try_from(instant::time_of_text(
                    text.words()?,
                    TimestampUnit::Millisecond,
                )?)
                .ok()
            })
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(spec, |text, _| {
                instant::time_of_text(text.words()?, TimestampUnit::Microsecond)
            })
        }
        _ => return None,
    })
}

/// What a parser may need to know of its column.
struct Spec {
    arrow: DataType,
    sql_type: String,
    /// The unit of epoch numbers, where it is not to be guessed.
    fixed: Option<TimestampUnit>,
}

/// A JSON number, or the characters of a JSON string.
#[derive(Clone, Copy)]
enum Literal<'a> {
    Digits(&'a str),
    Words(&'a str),
}

impl<'a> Literal<'a> {
    /// Returns the text of a number, be it in a string or not.
    fn digits(self) -> Option<&'a str> {
        match self {
            Self::Digits(text) | Self::Words(text) => Some(text),
        }
    }

    /// Returns the text of a string.
    fn words(self) -> Option<&'a str> {
        match self {
            Self::Digits(_) => None,
            Self::Words(text) => Some(text),
        }
    }
}

type Parse<T> = fn(Literal<'_>, &Spec) -> Option<<T as ArrowPrimitiveType>::Native>;

fn parse_integer<T: ArrowPrimitiveType>(text: Literal<'_>, _: &Spec) -> Option<T::Native>
where
    T::Native: TryFrom<i128>,
{
    T::Native::try_from(number::integer(text.digits()?)?).ok()
}

fn parse_decimal(text: Literal<'_>, spec: &Spec) -> Option<i128> {
    let DataType::Decimal128(precision, scale) = spec.arrow else {
        return None;
    };
    number::decimal(text.digits()?, precision, scale)
}

fn parse_timestamp(text: Literal<'_>, spec: &Spec) -> Option<i64> {
    let DataType::Timestamp(unit, _) = spec.arrow else {
        return None;
    };
    let target = unit_of(unit);
    if let Some(words) = text.words() {
        // `20240102` could be either; the contract says that numeric strings are epochs.
        if let Some(instant) = instant::timestamp_of_text(words, target) {
            return Some(instant);
        }
    }
    instant::timestamp_of_number(text.digits()?, spec.fixed, target)
}

fn primitive<T: ArrowPrimitiveType>(spec: Spec, parse: Parse<T>) -> Box<dyn ColumnBuilder> {
    Box::new(Primitives::<T> {
        spec,
        parse,
        values: Vec::new(),
        valid: NullBufferBuilder::new(0),
    })
}

struct Primitives<T: ArrowPrimitiveType> {
    spec: Spec,
    parse: Parse<T>,
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> ColumnBuilder for Primitives<T> {
    #[inline]
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let unescaped;
        let literal = match &value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Number(digits) => Literal::Digits(digits),
            Value::Text(text) => {
                unescaped = text.get();
                Literal::Words(&unescaped)
            }
            Value::Bool(_) | Value::Nested(_) => {
                return Err(Misfit::new(&value, &self.spec.sql_type));
            }
        };
        let Some(native) = (self.parse)(literal, &self.spec) else {
            return Err(Misfit::new(&value, &self.spec.sql_type));
        };
        self.values.push(native);
        self.valid.append_non_null();
        Ok(())
    }

    fn append_null(&mut self) {
        self.values.push(T::Native::default());
        self.valid.append_null();
    }

    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let array = PrimitiveArray::<T>::new(values, self.valid.finish());
        Arc::new(array.with_data_type(self.spec.arrow.clone()))
    }
}

struct Booleans {
    values: BooleanBufferBuilder,
    valid: NullBufferBuilder,
    sql_type: String,
}

impl ColumnBuilder for Booleans {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let truth = match &value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Bool(truth) => Some(*truth),
            Value::Text(text) => match text.get() {
                word if word.eq_ignore_ascii_case("true") => Some(true),
                word if word.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
            Value::Number(_) | Value::Nested(_) => None,
        };
        let Some(truth) = truth else {
            return Err(Misfit::new(&value, &self.sql_type));
        };
        self.values.append(truth);
        self.valid.append_non_null();
        Ok(())
    }

    fn append_null(&mut self) {
        self.values.append(false);
        self.valid.append_null();
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.valid.finish()))
    }
}

/// Returns a builder of text, JSON text where the type is `JSON`.
pub fn text_builder(sql_type: &str) -> Box<dyn ColumnBuilder> {
    Box::new(Texts {
        ends: Vec::new(),
        text: String::new(),
        valid: NullBufferBuilder::new(0),
        json: sql_type.eq_ignore_ascii_case("JSON"),
    })
}

struct Texts {
    /// Where each row's text ends.
    ends: Vec<i32>,
    text: String,
    valid: NullBufferBuilder,
    /// Texts are the JSON of their values, quotes included.
    json: bool,
}

impl ColumnBuilder for Texts {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let start = self.text.len();
        match &value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Text(text) if !self.json && !text.escaped => self.text.push_str(text.raw),
            Value::Text(text) if !self.json => self.text.push_str(&text.get()),
            other => other.write(&mut self.text),
        }
        // Offsets of Arrow's text are 32 bits wide.
        let Ok(end) = i32::try_from(self.text.len()) else {
            self.text.truncate(start);
            return Err(Misfit::new(&value, "text that fits into a batch of 2 GiB"));
        };
        self.ends.push(end);
        self.valid.append_non_null();
        Ok(())
    }

    fn append_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
        self.valid.append_null();
    }

    fn reserve(&mut self, rows: usize) {
        self.ends.reserve(rows);
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.valid.truncate(rows);
        let end = self.ends.last().map_or(0, |end| {
            usize::try_from(*end).expect("ends are not negative")
        });
        self.text.truncate(end);
    }

    fn finish(&mut self) -> ArrayRef {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let text = Buffer::from(std::mem::take(&mut self.text).into_bytes());
        Arc::new(StringArray::new(offsets, text, self.valid.finish()))
    }
}
