//! Builders of columns with members: lists, structs, maps.

use std::sync::Arc;

use super::{ColumnBuilder, Misfit, builder as any_builder, sql_name};
use crate::batch::array::builder::NullBufferBuilder;
use crate::batch::array::{
    Array as _, ArrayRef, FixedSizeListArray, ListArray, MapArray, StructArray,
};
use crate::batch::buffer::{OffsetBuffer, ScalarBuffer};
use crate::batch::datatypes::{DataType, FieldRef, Fields};
use crate::format::fields::{Matcher, Names, Slot};
use crate::format::instant::TimestampUnit;
use crate::format::scan::Cursor;
use crate::format::value::Value;

/// Says why a cursor cannot fail on the text of a nested value.
const CHECKED: &str = "the text of a value was checked when the body was walked";

/// Returns a builder, if the type is a native one with members.
pub fn builder(
    arrow: &DataType,
    sql_type: &str,
    fixed: Option<TimestampUnit>,
) -> Option<Box<dyn ColumnBuilder>> {
    if !super::native(arrow) {
        return None;
    }
    let member = |field: &FieldRef| {
        let arrow = field.data_type();
        any_builder(arrow, &sql_name(arrow), fixed)
    };
    let sql_type = sql_type.to_owned();
    let valid = NullBufferBuilder::new(0);
    Some(match arrow {
        DataType::List(item) => Box::new(Lists {
            items: member(item),
            item: Arc::clone(item),
            ends: Vec::new(),
            valid,
            sql_type,
        }),
        DataType::FixedSizeList(item, length) => Box::new(FixedLists {
            items: member(item),
            item: Arc::clone(item),
            length: usize::try_from(*length).ok()?,
            valid,
            sql_type,
        }),
        DataType::Struct(fields) => Box::new(Structs {
            members: fields.iter().map(member).collect(),
            names: Arc::new(Names::new(fields.iter().map(|field| field.name().as_str()))),
            fields: fields.clone(),
            valid,
            sql_type,
        }),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return None;
            };
            Box::new(Maps {
                keys: member(&fields[0]),
                values: member(&fields[1]),
                entries: Arc::clone(entries),
                fields: fields.clone(),
                ends: Vec::new(),
                valid,
                sql_type,
            })
        }
        _ => return None,
    })
}

/// Arrow's offsets are 32 bits wide.
fn offset(length: usize) -> Option<i32> {
    i32::try_from(length).ok()
}

fn end_of(ends: &[i32]) -> usize {
    ends.last().map_or(0, |end| {
        usize::try_from(*end).expect("ends are not negative")
    })
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// Appends each item of a JSON array and returns how many there were; the caller truncates on errors.
fn append_items(raw: &str, items: &mut dyn ColumnBuilder) -> Result<usize, Box<Misfit>> {
    let mut cursor = Cursor::new(raw);
    let mut count = 0;
    let mut more = cursor.open(b']').expect(CHECKED);
    while more {
        let value = Value::of(cursor.value().expect(CHECKED));
        items
            .append(value)
            .map_err(|misfit| misfit.within(&format!("[{count}]")))?;
        count += 1;
        more = cursor.next_member(b']').expect(CHECKED);
    }
    Ok(count)
}

struct Lists {
    items: Box<dyn ColumnBuilder>,
    item: FieldRef,
    ends: Vec<i32>,
    valid: NullBufferBuilder,
    sql_type: String,
}

impl ColumnBuilder for Lists {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let raw = match value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Nested(raw) if raw.starts_with('[') => raw,
            other => return Err(Misfit::new(&other, &self.sql_type)),
        };
        let appended = append_items(raw, self.items.as_mut());
        let end = appended.and_then(|_| {
            offset(self.items.len()).ok_or_else(|| Misfit::new(&value, &self.sql_type))
        });
        match end {
            Ok(end) => {
                self.ends.push(end);
                self.valid.append_non_null();
                Ok(())
            }
            Err(misfit) => {
                self.items.truncate(end_of(&self.ends));
                Err(misfit)
            }
        }
    }

    fn append_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
        self.valid.append_null();
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.valid.truncate(rows);
        self.items.truncate(end_of(&self.ends));
    }

    fn finish(&mut self) -> ArrayRef {
        let items = self.items.finish();
        Arc::new(ListArray::new(
            Arc::clone(&self.item),
            offsets(&mut self.ends),
            items,
            self.valid.finish(),
        ))
    }
}

struct FixedLists {
    items: Box<dyn ColumnBuilder>,
    item: FieldRef,
    length: usize,
    valid: NullBufferBuilder,
    sql_type: String,
}

impl ColumnBuilder for FixedLists {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let raw = match value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Nested(raw) if raw.starts_with('[') => raw,
            other => return Err(Misfit::new(&other, &self.sql_type)),
        };
        let start = self.items.len();
        let appended = append_items(raw, self.items.as_mut()).and_then(|count| {
            if count == self.length {
                Ok(())
            } else {
                Err(Misfit::new(&value, &self.sql_type))
            }
        });
        match appended {
            Ok(()) => self.valid.append_non_null(),
            Err(_) => self.items.truncate(start),
        }
        appended
    }

    fn append_null(&mut self) {
        for _ in 0..self.length {
            self.items.append_null();
        }
        self.valid.append_null();
    }

    fn len(&self) -> usize {
        self.valid.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        self.items.truncate(rows * self.length);
    }

    fn finish(&mut self) -> ArrayRef {
        let length = i32::try_from(self.length).expect("the length came from an `i32`");
        let rows = self.valid.len();
        let items = self.items.finish();
        Arc::new(
            FixedSizeListArray::try_new_with_length(
                Arc::clone(&self.item),
                length,
                items,
                self.valid.finish(),
                rows,
            )
            .expect("every row has appended exactly the list's length of items"),
        )
    }
}

struct Structs {
    members: Vec<Box<dyn ColumnBuilder>>,
    names: Arc<Names>,
    fields: Fields,
    valid: NullBufferBuilder,
    sql_type: String,
}

impl Structs {
    fn append_members(&mut self, raw: &str) -> Result<(), Box<Misfit>> {
        let mut slots = vec![Slot::default(); self.members.len()];
        let mut matcher = Matcher::new(Arc::clone(&self.names));
        matcher
            .fill(&mut Cursor::new(raw), &mut slots)
            .expect(CHECKED);
        for ((slot, member), field) in slots.iter().zip(&mut self.members).zip(&self.fields) {
            let value = slot.raw().map_or(Value::Null, Value::of);
            member
                .append(value)
                .map_err(|misfit| misfit.within(&format!(".{}", field.name())))?;
        }
        Ok(())
    }
}

impl ColumnBuilder for Structs {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let raw = match value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Nested(raw) if raw.starts_with('{') => raw,
            other => return Err(Misfit::new(&other, &self.sql_type)),
        };
        let rows = self.valid.len();
        let appended = self.append_members(raw);
        match appended {
            Ok(()) => self.valid.append_non_null(),
            Err(_) => self
                .members
                .iter_mut()
                .for_each(|member| member.truncate(rows)),
        }
        appended
    }

    fn append_null(&mut self) {
        self.members
            .iter_mut()
            .for_each(|member| member.append_null());
        self.valid.append_null();
    }

    fn len(&self) -> usize {
        self.valid.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.members
            .iter_mut()
            .for_each(|member| member.truncate(rows));
        self.valid.truncate(rows);
    }

    fn finish(&mut self) -> ArrayRef {
        let rows = self.valid.len();
        let members = self
            .members
            .iter_mut()
            .map(|member| member.finish())
            .collect();
        Arc::new(
            StructArray::try_new_with_length(
                self.fields.clone(),
                members,
                self.valid.finish(),
                rows,
            )
            .expect("every member was built for its field and has as many rows"),
        )
    }
}

struct Maps {
    keys: Box<dyn ColumnBuilder>,
    values: Box<dyn ColumnBuilder>,
    entries: FieldRef,
    fields: Fields,
    ends: Vec<i32>,
    valid: NullBufferBuilder,
    sql_type: String,
}

impl Maps {
    /// Appends the members of an object; the caller truncates on errors.
    fn append_entries(&mut self, raw: &str) -> Result<(), Box<Misfit>> {
        // Of a key given twice the last value counts, in the first one's place.
        let mut members: indexmap::IndexMap<String, (&str, &str)> = indexmap::IndexMap::new();
        let mut cursor = Cursor::new(raw);
        let mut more = cursor.open(b'}').expect(CHECKED);
        while more {
            let start = cursor.at;
            let key = cursor.string().expect(CHECKED);
            let key_raw = cursor.since(start);
            cursor.colon().expect(CHECKED);
            members.insert(
                key.get().into_owned(),
                (key_raw, cursor.value().expect(CHECKED)),
            );
            more = cursor.next_member(b'}').expect(CHECKED);
        }
        for (key, (key_raw, value)) in &members {
            self.keys
                .append(Value::of(key_raw))
                .map_err(|misfit| misfit.within(" (a key)"))?;
            self.values
                .append(Value::of(value))
                .map_err(|misfit| misfit.within(&format!(".{key}")))?;
        }
        Ok(())
    }
}

impl ColumnBuilder for Maps {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Misfit>> {
        let raw = match value {
            Value::Null => {
                self.append_null();
                return Ok(());
            }
            Value::Nested(raw) if raw.starts_with('{') => raw,
            other => return Err(Misfit::new(&other, &self.sql_type)),
        };
        let appended = self.append_entries(raw);
        let end = appended.and_then(|()| {
            offset(self.keys.len()).ok_or_else(|| Misfit::new(&value, &self.sql_type))
        });
        match end {
            Ok(end) => {
                self.ends.push(end);
                self.valid.append_non_null();
                Ok(())
            }
            Err(misfit) => {
                self.keys.truncate(end_of(&self.ends));
                self.values.truncate(end_of(&self.ends));
                Err(misfit)
            }
        }
    }

    fn append_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
        self.valid.append_null();
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.valid.truncate(rows);
        self.keys.truncate(end_of(&self.ends));
        self.values.truncate(end_of(&self.ends));
    }

    fn finish(&mut self) -> ArrayRef {
        let members = vec![self.keys.finish(), self.values.finish()];
        let entries = StructArray::new(self.fields.clone(), members, None);
        debug_assert_eq!(entries.len(), end_of(&self.ends));
        Arc::new(MapArray::new(
            Arc::clone(&self.entries),
            offsets(&mut self.ends),
            entries,
            self.valid.finish(),
            false,
        ))
    }
}
