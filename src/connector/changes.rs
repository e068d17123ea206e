//! The option `changes = 'op'` of the sinks that write rows out: a first column that says what each row
//! does, so that deletes have a form.
//!
//! Knows nothing of how the rows are encoded. Called by the stdout, file and http sinks.

use std::sync::Arc;

use anyhow::Context as _;

use super::Changes;
use crate::batch::array::{ArrayRef, StringArray};
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{Batch, RecordBatch, Schema, Sign};
use crate::diagnostic::Diagnostic;
use crate::options::Options;

/// The name of the added column.
const OP: &str = "op";

/// How a sink shows that a row is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeForm {
    /// Not at all: only relations that never delete may be written.
    InsertsOnly,
    /// By a first column `op`, which is `insert` or `delete`.
    OpColumn,
}

impl ChangeForm {
    /// Takes the option `changes`; a relation that has a column `op` of its own cannot have another.
    pub fn take(options: &mut Options<'_>, schema: &Schema) -> Self {
        let place = options.key_span("changes");
        let Some(form) = options.one_of("changes", &[(OP, Self::OpColumn)]) else {
            return Self::InsertsOnly;
        };
        let own = schema
            .fields()
            .iter()
            .find(|field| field.name().eq_ignore_ascii_case(OP));
        if let (Some(own), Some(place)) = (own, place) {
            let message = format!("the relation has a column `{}` of its own", own.name());
            let fault = Diagnostic::new(place, message)
                .label("adds a column `op`")
                .help("give the relation's column another name");
            options.fault(fault);
        }
        form
    }

    /// Returns what the sink answers to [`super::SinkConnector::changes`].
    pub fn accepted(self) -> Changes {
        match self {
            Self::OpColumn => Changes::Accepted,
            Self::InsertsOnly => Changes::Refused {
                advice:
                    "add `changes = 'op'`: each row then says whether it is an insert or a delete"
                        .to_owned(),
            },
        }
    }

    /// Returns the columns as they are written.
    pub fn schema(self, schema: &Schema) -> Schema {
        match self {
            Self::InsertsOnly => Arc::clone(schema),
            Self::OpColumn => {
                let op = Arc::new(Field::new(OP, DataType::Utf8, false));
                let fields: Vec<_> = std::iter::once(op)
                    .chain(schema.fields().iter().cloned())
                    .collect();
                Arc::new(ArrowSchema::new(fields))
            }
        }
    }

    /// Returns the rows as they are written; `written` is what [`Self::schema`] returned.
    ///
    /// # Errors
    /// A delete where the sink takes none, or rows of another relation.
    pub fn rows(self, batch: &Batch, written: &Schema) -> anyhow::Result<RecordBatch> {
        let op = match (self, batch.sign) {
            (Self::InsertsOnly, Sign::Insert) => return Ok(batch.rows.clone()),
            (Self::InsertsOnly, Sign::Delete) => {
                anyhow::bail!("a delete came to a sink without `changes = 'op'`")
            }
            (Self::OpColumn, Sign::Insert) => "insert",
            (Self::OpColumn, Sign::Delete) => "delete",
        };
        let op: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            op,
            batch.row_count(),
        )));
        let columns = std::iter::once(op)
            .chain(batch.rows.columns().iter().cloned())
            .collect();
        RecordBatch::try_new(Arc::clone(written), columns)
            .context("the rows do not have the columns that the sink was opened with")
    }
}
