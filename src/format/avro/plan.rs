//! How each field of a schema is filled from the columns, decided before the first row.
//!
//! Widening is allowed (`INTEGER` into `long`, `DECIMAL(9,2)` into `decimal(18,4)`), and instants may lose
//! what their field is too coarse for; everything else that does not fit is said here, by name and types.

use super::kind::{Kind, KindId, Kinds, RecordField};
use crate::batch::datatypes::{DataType, Field};
use crate::format::column::{sql_name, unit_of};
use crate::format::instant::TimestampUnit;

/// A value that may be NULL.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The number of the branch that stands for NULL; `None` if there is none.
    pub null_branch: Option<i64>,
    /// The number of the value's branch; `None` where the type is no union.
    pub value_branch: Option<i64>,
    pub target: Target,
}

/// What a column's values become.
#[derive(Clone, Debug)]
pub enum Target {
    Boolean,
    Integer,
    Float,
    Double,
    Text,
    /// The symbols in their order.
    Enum(Vec<String>),
    Bytes,
    Fixed(usize),
    Decimal {
        /// What the unscaled value is multiplied by.
        factor: i128,
        fixed: Option<usize>,
    },
    /// Dates, times and timestamps: a number times `multiply`, divided by `divide`.
    Instant {
        multiply: i64,
        divide: i64,
    },
    Array(Box<Slot>),
    Map(Box<Slot>),
    /// A map as an array of records; the members are those of the record.
    Entries(Vec<Member>),
    Record(Vec<Member>),
}

/// A field of a record.
#[derive(Clone, Debug)]
pub enum Member {
    /// Filled from the column of that number.
    Column {
        source: usize,
        name: String,
        slot: Slot,
    },
    /// Always the same bytes, of a default or NULL.
    Constant(Vec<u8>),
}

/// Plans a record, or says all that hinders it. `path` ends with a dot, or is empty for the message itself.
pub fn record(
    kinds: &Kinds,
    fields: &[RecordField],
    columns: &[&Field],
    path: &str,
) -> Result<Vec<Member>, Vec<String>> {
    let mut faults = Vec::new();
    let mut used = vec![false; columns.len()];
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let same = |column: &&Field| *column.name() == field.name;
        let nearly = |column: &&Field| column.name().eq_ignore_ascii_case(&field.name);
        let found = columns.iter().position(same);
        let Some(source) = found.or_else(|| columns.iter().position(nearly)) else {
            match constant(kinds, field) {
                Ok(bytes) => members.push(Member::Constant(bytes)),
                Err(why) => faults.push(format!("field `{path}{}` {why}", field.name)),
            }
            continue;
        };
        used[source] = true;
        let name = format!("{path}{}", field.name);
        match slot(kinds, field.kind, columns[source], &name) {
            Ok(slot) => members.push(Member::Column { source, name, slot }),
            Err(mut more) => faults.append(&mut more),
        }
    }
    for (column, _) in columns.iter().zip(used).filter(|(_, used)| !used) {
        let name = column.name();
        faults.push(format!("column `{path}{name}` has no field in the schema"));
    }
    if faults.is_empty() {
        Ok(members)
    } else {
        Err(faults)
    }
}

/// Returns what is written for a field that has no column.
fn constant(kinds: &Kinds, field: &RecordField) -> Result<Vec<u8>, String> {
    match (&field.default, null_branch(kinds, field.kind)) {
        (Some(Ok(bytes)), _) => Ok(bytes.clone()),
        (_, Some(branch)) => {
            let mut bytes = Vec::new();
            super::write_long(branch, &mut bytes);
            Ok(bytes)
        }
        (Some(Err(error)), None) => Err(format!("has a default that cannot be written: {error}")),
        (None, None) => Err("has no column, no default, and is not nullable".to_owned()),
    }
}

fn null_branch(kinds: &Kinds, id: KindId) -> Option<i64> {
    let Kind::Union(branches) = kinds.get(id) else {
        return None;
    };
    let is_null = |one: &KindId| matches!(kinds.get(*one), Kind::Null);
    let place = branches.iter().position(is_null)?;
    i64::try_from(place).ok()
}

fn slot(kinds: &Kinds, id: KindId, column: &Field, name: &str) -> Result<Slot, Vec<String>> {
    let Kind::Union(branches) = kinds.get(id) else {
        let target = target(kinds, id, column, name)?;
        return Ok(Slot {
            null_branch: None,
            value_branch: None,
            target,
        });
    };
    let mut faults = Vec::new();
    let values =
        (branches.iter().enumerate()).filter(|(_, one)| !matches!(kinds.get(**one), Kind::Null));
    for (place, one) in values {
        match target(kinds, *one, column, name) {
            Ok(target) => {
                return Ok(Slot {
                    null_branch: null_branch(kinds, id),
                    value_branch: i64::try_from(place).ok(),
                    target,
                });
            }
            Err(more) => faults = more,
        }
    }
    // With one branch its own fault says more than that of the union.
    if branches.len() > 2 || faults.is_empty() {
        faults = vec![misfit(kinds, id, column, name)];
    }
    Err(faults)
}

fn misfit(kinds: &Kinds, id: KindId, column: &Field, name: &str) -> String {
    let sql = match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB".to_owned(),
        arrow => sql_name(arrow),
    };
    format!(
        "field `{name}` is {} in the schema, the column is {sql}",
        kinds.shown(id)
    )
}

fn target(kinds: &Kinds, id: KindId, column: &Field, name: &str) -> Result<Target, Vec<String>> {
    let arrow = column.data_type();
    if let Some(scalar) = scalar(arrow, kinds.get(id)) {
        return Ok(scalar);
    }
    match (arrow, kinds.get(id)) {
        (
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::FixedSizeList(item, _),
            Kind::Array(items),
        ) => Ok(Target::Array(Box::new(slot(
            kinds,
            *items,
            item,
            &format!("{name}[]"),
        )?))),
        (DataType::Struct(members), Kind::Record(fields)) => {
            let members: Vec<&Field> = members.iter().map(|member| member.as_ref()).collect();
            Ok(Target::Record(record(
                kinds,
                fields,
                &members,
                &format!("{name}."),
            )?))
        }
        (DataType::Map(entries, _), kind) => {
            let DataType::Struct(members) = entries.data_type() else {
                return Err(vec![misfit(kinds, id, column, name)]);
            };
            match (kind, members.as_ref()) {
                (Kind::Map(values), [key, value]) if *key.data_type() == DataType::Utf8 => {
                    let value = slot(kinds, *values, value, &format!("{name}[]"))?;
                    Ok(Target::Map(Box::new(value)))
                }
                (Kind::Array(items), [key, value]) => match kinds.get(*items) {
                    Kind::Record(fields) => {
                        let key = Field::new("key", key.data_type().clone(), true);
                        let value = Field::new("value", value.data_type().clone(), true);
                        let path = format!("{name}[].");
                        let members = record(kinds, fields, &[&key, &value], &path)?;
                        Ok(Target::Entries(members))
                    }
                    _ => Err(vec![misfit(kinds, id, column, name)]),
                },
                _ => Err(vec![misfit(kinds, id, column, name)]),
            }
        }
        _ => Err(vec![misfit(kinds, id, column, name)]),
    }
}

/// Plans a value without members; `None` if the types do not fit.
fn scalar(arrow: &DataType, kind: &Kind) -> Option<Target> {
    use DataType::{Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32};
    match (arrow, kind) {
        (DataType::Boolean, Kind::Boolean) => Some(Target::Boolean),
        (Int8 | Int16 | Int32 | UInt8 | UInt16, Kind::Int | Kind::Long)
        | (Int64 | UInt32, Kind::Long) => Some(Target::Integer),
        // A float holds integers of 24 bits, a double those of 53.
        (Int8 | Int16 | UInt8 | UInt16 | Float16 | Float32, Kind::Float) => Some(Target::Float),
        (
            Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 | Float16 | Float32 | Float64,
            Kind::Double,
        ) => Some(Target::Double),
        (_, Kind::Decimal { .. }) => decimal(arrow, kind),
        (DataType::Date32 | DataType::Date64, Kind::Date) => Some(Target::Instant {
            multiply: 1,
            divide: 1,
        }),
        (DataType::Time32(unit) | DataType::Time64(unit), Kind::Time(to))
        | (DataType::Timestamp(unit, _), Kind::Timestamp(to)) => Some(instant(unit_of(*unit), *to)),
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, Kind::Bytes)
        | (DataType::FixedSizeBinary(_), Kind::Bytes) => Some(Target::Bytes),
        (
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_),
            Kind::Fixed(size),
        ) => Some(Target::Fixed(*size)),
        (arrow, Kind::Text | Kind::UuidText) if is_text(arrow) => Some(Target::Text),
        (arrow, Kind::Enum(symbols)) if is_text(arrow) => Some(Target::Enum(symbols.clone())),
        _ => None,
    }
}

/// Says whether a type is written as text: whatever [`super::relation`] makes a `string`.
fn is_text(arrow: &DataType) -> bool {
    match arrow {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::Null
        | DataType::Decimal256(_, _)
        | DataType::Time64(crate::batch::datatypes::TimeUnit::Nanosecond) => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}

fn instant(from: TimestampUnit, to: TimestampUnit) -> Target {
    Target::Instant {
        multiply: (to.per_second() / from.per_second()).max(1),
        divide: (from.per_second() / to.per_second()).max(1),
    }
}

fn decimal(arrow: &DataType, kind: &Kind) -> Option<Target> {
    let Kind::Decimal {
        precision,
        scale,
        fixed,
    } = kind
    else {
        return None;
    };
    let (own_precision, own_scale) = match arrow {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => {
            (usize::from(*precision), usize::try_from(*scale).ok()?)
        }
        _ => return None,
    };
    let more = scale.checked_sub(own_scale)?;
    let fits = own_precision - own_scale <= precision.checked_sub(*scale)?;
    let factor = 10_i128.checked_pow(u32::try_from(more).ok()?)?;
    fits.then_some(Target::Decimal {
        factor,
        fixed: *fixed,
    })
}
