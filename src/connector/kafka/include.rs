//! The columns of `INCLUDE`: what a message carries beside its rows.
//!
//! A message of several rows gives each of them the same. Text is text: a key or header that is no UTF-8 makes
//! its message a reject, unless its column is a BLOB.

use std::sync::Arc;

use rdkafka::message::{Headers as _, Message};

use crate::batch::array::builder::{
    BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use crate::batch::array::{ArrayRef, RecordBatchOptions};
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{RecordBatch, Schema};
use crate::connector::Included;
use crate::sql::IncludeWhat;

/// Adds the columns to rows.
pub(super) struct Includes {
    included: Arc<[Included]>,
    schema: Schema,
}

/// A message with the rows it became, or none.
pub(super) type Rows<'m, M> = (&'m M, usize);

impl Includes {
    /// `rows` is what the columns are added to.
    pub(super) fn new(included: Arc<[Included]>, rows: &Schema) -> Self {
        let fields = rows.fields().iter().map(|field| field.as_ref().clone());
        let more = included.iter().map(|included| {
            let column = &included.column;
            Field::new(&column.name, column.arrow.clone(), column.nullable)
        });
        Self {
            schema: Arc::new(ArrowSchema::new(fields.chain(more).collect::<Vec<_>>())),
            included,
        }
    }

    /// Returns the schema of rows with the columns.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn is_empty(&self) -> bool {
        self.included.is_empty()
    }

    /// Says what of a message does not fit its column, if something does not.
    pub(super) fn misfit(&self, message: &impl Message) -> Option<String> {
        self.included.iter().find_map(|included| {
            let (column, what) = (&included.column, shown(&included.what));
            let missing = match &included.what {
                IncludeWhat::Key | IncludeWhat::Header(_) => match bytes(message, &included.what) {
                    None => true,
                    Some(bytes) => {
                        if column.arrow == DataType::Utf8 && std::str::from_utf8(bytes).is_err() {
                            return Some(format!(
                                "column `{}`: {what} is not UTF-8, as a VARCHAR has to be; \
                                 a BLOB takes any bytes",
                                column.name
                            ));
                        }
                        false
                    }
                },
                IncludeWhat::Timestamp => message.timestamp().to_millis().is_none(),
                IncludeWhat::Partition | IncludeWhat::Offset => false,
            };
            (missing && !column.nullable).then(|| {
                format!(
                    "column `{}`: the message has no {}, but the column is NOT NULL",
                    column.name,
                    what.trim_start_matches("the ")
                )
            })
        })
    }

    /// Returns the rows with the columns added. `messages` are those of the rows, in order, none of them a
    /// [`Includes::misfit`].
    ///
    /// # Errors
    /// The numbers of rows do not add up, which would be our fault.
    pub(super) fn add<M: Message>(
        &self,
        rows: &RecordBatch,
        messages: &[Rows<'_, M>],
    ) -> anyhow::Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        columns.extend((self.included.iter()).map(|included| column(included, messages)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

fn column<M: Message>(included: &Included, messages: &[Rows<'_, M>]) -> ArrayRef {
    let what = &included.what;
    match what {
        IncludeWhat::Key | IncludeWhat::Header(_) if included.column.arrow == DataType::Binary => {
            let mut column = BinaryBuilder::new();
            for (message, count) in messages {
                let bytes = bytes(*message, what);
                (0..*count).for_each(|_| column.append_option(bytes));
            }
            Arc::new(column.finish())
        }
        IncludeWhat::Key | IncludeWhat::Header(_) => {
            let mut column = StringBuilder::new();
            for (message, count) in messages {
                let text = bytes(*message, what)
                    .map(|bytes| std::str::from_utf8(bytes).expect("misfits are set aside before"));
                (0..*count).for_each(|_| column.append_option(text));
            }
            Arc::new(column.finish())
        }
        IncludeWhat::Partition => {
            let mut column = Int32Builder::new();
            for (message, count) in messages {
                column.append_value_n(message.partition(), *count);
            }
            Arc::new(column.finish())
        }
        IncludeWhat::Offset => {
            let mut column = Int64Builder::new();
            for (message, count) in messages {
                column.append_value_n(message.offset(), *count);
            }
            Arc::new(column.finish())
        }
        IncludeWhat::Timestamp => {
            let mut column = TimestampMicrosecondBuilder::new();
            for (message, count) in messages {
                let instant = message.timestamp().to_millis();
                let instant = instant.map(|ms| ms.saturating_mul(1000));
                (0..*count).for_each(|_| column.append_option(instant));
            }
            Arc::new(column.finish())
        }
    }
}

/// Returns the key or the header; of several headers of one name the last, as Java's `lastHeader` does.
fn bytes<'m>(message: &'m impl Message, what: &IncludeWhat) -> Option<&'m [u8]> {
    let IncludeWhat::Header(name) = what else {
        return message.key();
    };
    let headers = message.headers()?;
    let last = (0..headers.count()).rev().map(|index| headers.get(index));
    last.into_iter().find(|header| header.key == name)?.value
}

fn shown(what: &IncludeWhat) -> String {
    match what {
        IncludeWhat::Key => "the key".to_owned(),
        IncludeWhat::Partition => "the partition".to_owned(),
        IncludeWhat::Offset => "the offset".to_owned(),
        IncludeWhat::Timestamp => "the timestamp".to_owned(),
        IncludeWhat::Header(name) => format!("the header `{name}`"),
    }
}
