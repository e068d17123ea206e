//! The rows of one body: columns under construction, and what was refused.

use std::sync::Arc;

use crate::batch::array::{Array, ArrayRef, RecordBatchOptions};
use crate::batch::{Column, Decoded, RecordBatch, Reject, Schema, compute};

use super::build::Slots;
use crate::format::column::{self, ColumnBuilder};
use crate::format::fields::{Matcher, Slot};
use crate::format::instant::TimestampUnit;
use crate::format::jq::{Halt, Sink, emptied};
use crate::format::scan::{Cursor, Fault};
use crate::format::value::{Value, write_compact};

/// The rows so far.
pub struct Rows {
    columns: Arc<[Column]>,
    unit: Option<TimestampUnit>,
    /// Rows that are built, before those in the builders.
    built: Vec<Built>,
    builders: Vec<Box<dyn ColumnBuilder>>,
    /// Rows in `built` and the builders.
    accepted: usize,
    rejects: Vec<Reject>,
    /// Rows of the filter, refused ones included.
    count: usize,
    cursor: Option<LastCursor>,
}

/// Columns of so many rows.
struct Built {
    arrays: Vec<ArrayRef>,
    rows: usize,
}

/// The field of the last row that pagination goes on from.
struct LastCursor {
    name: String,
    /// The number of its slot: that of its column, or the one after all columns.
    slot: usize,
    raw: Option<String>,
}

/// A state of [`Rows`] to go back to.
pub struct Mark {
    accepted: usize,
    rejects: usize,
    count: usize,
    cursor: Option<String>,
}

impl Rows {
    pub fn new(
        columns: &Arc<[Column]>,
        unit: Option<TimestampUnit>,
        cursor_field: Option<&str>,
    ) -> Self {
        let cursor = cursor_field.map(|name| {
            let same = |column: &Column| column.name.to_lowercase() == name.to_lowercase();
            let slot = columns.iter().position(same).unwrap_or(columns.len());
            LastCursor {
                name: name.to_owned(),
                slot,
                raw: None,
            }
        });
        Self::of(columns, unit, cursor)
    }

    fn of(
        columns: &Arc<[Column]>,
        unit: Option<TimestampUnit>,
        cursor: Option<LastCursor>,
    ) -> Self {
        let builders = columns
            .iter()
            .map(|column| column::builder(&column.arrow, &column.sql_type, unit));
        Self {
            builders: builders.collect(),
            built: Vec::new(),
            columns: Arc::clone(columns),
            unit,
            accepted: 0,
            rejects: Vec::new(),
            count: 0,
            cursor,
        }
    }

    /// Returns none, of the same columns, to be joined later.
    pub fn none(&self) -> Self {
        let cursor = self.cursor.as_ref().map(|cursor| LastCursor {
            raw: None,
            name: cursor.name.clone(),
            ..*cursor
        });
        Self::of(&self.columns, self.unit, cursor)
    }

    /// Adds rows behind these.
    pub fn join(&mut self, mut other: Self) {
        self.build();
        other.build();
        self.built.append(&mut other.built);
        self.accepted += other.accepted;
        self.rejects.append(&mut other.rejects);
        if other.count > 0 {
            self.cursor = other.cursor;
        }
        self.count += other.count;
    }

    /// Moves what is in the builders to what is built.
    fn build(&mut self) {
        let rows = self.accepted - self.built_rows();
        if rows > 0 {
            let builders = self.builders.iter_mut();
            let arrays = builders.map(|builder| builder.finish()).collect();
            self.built.push(Built { arrays, rows });
        }
    }

    fn built_rows(&self) -> usize {
        self.built.iter().map(|built| built.rows).sum()
    }

    /// Forgets all rows but the first ones.
    fn truncate(&mut self, rows: usize) {
        let mut before = self.built_rows();
        for builder in &mut self.builders {
            builder.truncate(rows.saturating_sub(before));
        }
        while before > rows
            && let Some(mut last) = self.built.pop()
        {
            before -= last.rows;
            if before < rows {
                last.rows = rows - before;
                for array in &mut last.arrays {
                    *array = array.slice(0, last.rows);
                }
                self.built.push(last);
                break;
            }
        }
        self.accepted = rows;
    }

    /// Makes room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        for builder in &mut self.builders {
            builder.reserve(rows);
        }
    }

    /// Returns the name that is looked for besides the columns, if the cursor is none of them.
    pub fn extra_name(&self) -> Option<&str> {
        let cursor = self.cursor.as_ref()?;
        (cursor.slot == self.columns.len()).then_some(&cursor.name)
    }

    /// Returns how many values a row has: one per column, and the cursor's if it is none of them.
    pub fn slot_count(&self) -> usize {
        self.columns.len() + usize::from(self.extra_name().is_some())
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns how many rows fit so far.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// Returns the text of the last row's cursor.
    pub fn take_last_cursor(&mut self) -> Option<String> {
        self.cursor.as_mut()?.raw.take()
    }

    pub fn mark(&self) -> Mark {
        Mark {
            accepted: self.accepted,
            rejects: self.rejects.len(),
            count: self.count,
            cursor: self.cursor.as_ref().and_then(|cursor| cursor.raw.clone()),
        }
    }

    pub fn rollback(&mut self, mark: Mark) {
        self.truncate(mark.accepted);
        self.rejects.truncate(mark.rejects);
        self.count = mark.count;
        if let Some(cursor) = &mut self.cursor {
            cursor.raw = mark.cursor;
        }
    }

    /// Notes what is no row at all.
    pub fn reject(&mut self, reject: Reject) {
        self.rejects.push(reject);
    }

    /// Appends a row of one value per slot, or refuses it as a whole.
    #[inline]
    pub fn push<'v>(
        &mut self,
        value_of: impl Fn(usize) -> Value<'v>,
        payload: impl FnOnce() -> String,
    ) {
        self.count += 1;
        if let Some(cursor) = &mut self.cursor {
            let mut raw = cursor.raw.take().unwrap_or_default();
            raw.clear();
            value_of(cursor.slot).write(&mut raw);
            cursor.raw = Some(raw);
        }
        for number in 0..self.columns.len() {
            if let Err(message) = self.append(number, value_of(number)) {
                let accepted = self.accepted - self.built_rows();
                for builder in &mut self.builders[..number] {
                    builder.truncate(accepted);
                }
                self.rejects.push(Reject {
                    message,
                    payload: payload(),
                });
                return;
            }
        }
        self.accepted += 1;
    }

    #[inline]
    fn append(&mut self, number: usize, value: Value<'_>) -> Result<(), String> {
        let column = &self.columns[number];
        if matches!(value, Value::Null) {
            if !column.nullable {
                let why = match column.in_key {
                    true => "it is of the primary key",
                    false => "it is declared NOT NULL",
                };
                return Err(format!("column `{}`: NULL, but {why}", column.name));
            }
            self.builders[number].append_null();
            return Ok(());
        }
        self.builders[number].append(value).map_err(|misfit| {
            let column::Misfit {
                path,
                shown,
                expected,
            } = *misfit;
            format!(
                "column `{}`{path}: `{shown}` is not a {expected}",
                column.name
            )
        })
    }

    /// Refuses a row that is neither an object nor the value of an only column.
    fn push_misshapen(&mut self, raw: &str) {
        self.count += 1;
        if let Some(cursor) = &mut self.cursor {
            cursor.raw = None;
        }
        let message = format!(
            "a row is to be an object, found `{}`",
            Value::of(raw).shown()
        );
        let mut payload = String::new();
        write_compact(raw, &mut payload);
        self.rejects.push(Reject { message, payload });
    }

    /// Returns the batch.
    ///
    /// # Errors
    /// Arrow refuses the arrays, which would be our fault.
    pub fn finish(mut self, schema: &Schema) -> anyhow::Result<Decoded> {
        let arrays = if self.built.is_empty() {
            let builders = self.builders.iter_mut();
            builders.map(|builder| builder.finish()).collect()
        } else {
            self.build();
            joined(std::mem::take(&mut self.built))?
        };
        let options = RecordBatchOptions::new().with_row_count(Some(self.accepted));
        let rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
        Ok(Decoded {
            rows,
            rejects: self.rejects,
        })
    }
}

/// Puts columns together, one after the other, so that the parts of each are given up before the next is made.
fn joined(parts: Vec<Built>) -> anyhow::Result<Vec<ArrayRef>> {
    let mut columns: Vec<_> = parts
        .into_iter()
        .map(|part| part.arrays.into_iter())
        .collect();
    let mut arrays = Vec::new();
    loop {
        let pieces: Vec<ArrayRef> = columns.iter_mut().filter_map(Iterator::next).collect();
        if pieces.is_empty() {
            return Ok(arrays);
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        arrays.push(compute::concat(&pieces)?);
    }
}

/// Takes the outputs of a filter as rows: objects, arrays of them, or scalars for an only column.
pub struct RowSink<'r> {
    pub rows: &'r mut Rows,
    pub matcher: &'r mut Matcher,
    /// For objects that a plan builds.
    pub slots: &'r Slots,
    /// The outputs are items of an array already, so that arrays among them are not taken apart.
    pub listed: bool,
    /// The memory of the members of one row, for the next one.
    pub scratch: &'r mut Vec<Slot<'static>>,
}

impl RowSink<'_> {
    /// Takes the value under the cursor as one row.
    ///
    /// # Errors
    /// The text is not JSON.
    #[inline]
    pub fn take(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let start = cursor.at;
        let mut slots: Vec<Slot<'_>> = emptied(std::mem::take(self.scratch));
        slots.resize(self.rows.slot_count(), Slot::default());
        if cursor.peek() == Some(b'{') {
            self.matcher.fill(cursor, &mut slots)?;
        } else {
            let raw = cursor.value()?;
            if self.rows.columns.len() != 1 || raw.starts_with('[') {
                self.rows.push_misshapen(raw);
                return Ok(());
            }
            slots[0] = Slot::of(raw);
        }
        let raw = cursor.since(start);
        self.rows.push(
            |number| slots[number].raw().map_or(Value::Null, Value::of),
            || {
                let mut payload = String::new();
                write_compact(raw, &mut payload);
                payload
            },
        );
        *self.scratch = emptied(slots);
        Ok(())
    }
}

impl<'r> Sink for RowSink<'r> {
    type Part = RowPart<'r>;

    #[inline]
    fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        Ok(self.take(cursor)?)
    }

    fn flattens(&self) -> bool {
        !self.listed
    }

    #[inline]
    fn object<'v>(
        &mut self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
    ) -> Result<(), Halt> {
        self.slots.push(names, value_of, self.rows);
        Ok(())
    }

    fn part(&self) -> Option<RowPart<'r>> {
        Some(RowPart {
            rows: self.rows.none(),
            matcher: self.matcher.clone(),
            slots: self.slots,
            listed: self.listed,
            scratch: Vec::new(),
        })
    }

    fn join(&mut self, part: RowPart<'r>) {
        self.rows.join(part.rows);
    }
}

/// Rows that come after others, which are taken at the same time.
pub struct RowPart<'r> {
    rows: Rows,
    matcher: Matcher,
    slots: &'r Slots,
    listed: bool,
    scratch: Vec<Slot<'static>>,
}

impl RowPart<'_> {
    #[inline]
    fn sink(&mut self) -> RowSink<'_> {
        RowSink {
            rows: &mut self.rows,
            matcher: &mut self.matcher,
            slots: self.slots,
            listed: self.listed,
            scratch: &mut self.scratch,
        }
    }
}

impl Sink for RowPart<'_> {
    type Part = Self;

    #[inline]
    fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        self.sink().row(cursor)
    }

    fn flattens(&self) -> bool {
        !self.listed
    }

    #[inline]
    fn object<'v>(
        &mut self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
    ) -> Result<(), Halt> {
        self.sink().object(names, value_of)
    }
}
