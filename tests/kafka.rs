//! The kafka connector against a real broker, and against Confluent's own client as an independent one.

#[path = "kafka/broker.rs"]
mod broker;
#[path = "kafka/connect.rs"]
mod connect;
mod support;

#[path = "kafka/crash.rs"]
mod crash;
#[path = "kafka/documented.rs"]
mod documented;
#[path = "kafka/include.rs"]
mod include;
#[path = "kafka/outage.rs"]
mod outage;
#[path = "kafka/pipeline.rs"]
mod pipeline;
#[path = "kafka/reading.rs"]
mod reading;
#[path = "kafka/replay.rs"]
mod replay;
// That of the records' own tests, of which this uses a part.
#[allow(dead_code)]
#[path = "replay/stage.rs"]
mod stage;
#[path = "kafka/types.rs"]
mod types;
#[path = "kafka/writing.rs"]
mod writing;

use std::sync::Arc;

use omlsp::batch::RecordBatch;
use omlsp::batch::array::{ArrayRef, Int64Array, StringArray};
use omlsp::batch::datatypes::{Field, Schema};

/// Makes rows of columns by name.
pub fn rows_of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the columns are as long")
}

/// Makes rows `{"n": …, "name": "row …"}` of a range of numbers.
pub fn numbered(range: std::ops::Range<i64>) -> RecordBatch {
    let names: Vec<String> = range.clone().map(|n| format!("row {n}")).collect();
    let numbers = Int64Array::from_iter_values(range);
    rows_of(vec![
        ("n", Arc::new(numbers)),
        ("name", Arc::new(StringArray::from(names))),
    ])
}
