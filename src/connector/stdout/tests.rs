//! Lines as they reach the reader, and the options.

use std::sync::Mutex;

use chrono::DateTime;

use super::*;
use crate::batch::array::{ArrayRef, Int64Array, StringArray};
use crate::batch::{RecordBatch, Sign};
use crate::connector::testing::{assert_fault, context};

fn batch(sign: Sign, names: &[Option<&str>]) -> Batch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..names.len() as i64));
    let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    Batch {
        rows: RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)])
            .unwrap(),
        sign,
        trigger: DateTime::UNIX_EPOCH,
    }
}

/// A stdout that keeps each call apart.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(format: LineFormat, changes: ChangeForm, batches: &[Batch]) -> Vec<String> {
    let sink = StdoutSink { format, changes };
    let kept = Kept::default();
    let mut writer =
        StdoutWriter::new(&sink, &batches[0].schema(), Box::new(kept.clone())).unwrap();
    let (context, _) = context();
    for batch in batches {
        writer.write(batch, &context).unwrap();
    }
    assert_eq!(
        writer.flush(false, &context).unwrap(),
        Flushed::Durable(None)
    );
    let calls = kept.0.lock().unwrap();
    calls
        .iter()
        .map(|call| String::from_utf8(call.clone()).unwrap())
        .collect()
}

#[test]
fn a_row_is_a_json_line_with_the_columns_in_order() {
    let calls = written(
        LineFormat::Json,
        ChangeForm::InsertsOnly,
        &[batch(Sign::Insert, &[Some("a\"b\n"), None])],
    );
    assert_eq!(
        calls,
        ["{\"id\":0,\"name\":\"a\\\"b\\n\"}\n{\"id\":1,\"name\":null}\n"]
    );
}

#[test]
fn changes_come_with_a_first_member_op() {
    let batches = [
        batch(Sign::Delete, &[Some("x")]),
        batch(Sign::Insert, &[Some("y")]),
    ];
    let calls = written(LineFormat::Json, ChangeForm::OpColumn, &batches);
    assert_eq!(
        calls.concat(),
        "{\"op\":\"delete\",\"id\":0,\"name\":\"x\"}\n{\"op\":\"insert\",\"id\":0,\"name\":\"y\"}\n"
    );
}

#[test]
fn csv_has_one_header_and_quotes_where_it_must() {
    let batches = [
        batch(Sign::Insert, &[Some("a,b")]),
        batch(Sign::Delete, &[Some("y")]),
    ];
    let calls = written(LineFormat::Csv, ChangeForm::OpColumn, &batches);
    assert_eq!(calls.concat(), "op,id,name\ninsert,0,\"a,b\"\ndelete,0,y\n");
}

#[test]
fn a_large_batch_goes_out_in_whole_lines() {
    let name = "n".repeat(100);
    let names: Vec<Option<&str>> = vec![Some(name.as_str()); 10_000];
    let calls = written(
        LineFormat::Json,
        ChangeForm::InsertsOnly,
        &[batch(Sign::Insert, &names)],
    );
    assert!(calls.len() > 2);
    assert!(calls.iter().all(|call| call.ends_with('\n')));
    assert_eq!(calls.concat().lines().count(), 10_000);
}

#[test]
fn a_closed_stdout_is_a_broken_pipe_in_the_chain() {
    let sink = StdoutSink {
        format: LineFormat::Json,
        changes: ChangeForm::InsertsOnly,
    };
    let rows = batch(Sign::Insert, &[Some("a")]);
    let mut writer = StdoutWriter::new(&sink, &rows.schema(), Box::new(Closed)).unwrap();
    let (context, _) = context();
    writer.write(&rows, &context).unwrap();
    let error = writer.flush(true, &context).unwrap_err();
    let kinds: Vec<_> = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .collect();
    assert_eq!(kinds, [std::io::ErrorKind::BrokenPipe]);
}

#[test]
fn the_options_are_checked() {
    let schema = batch(Sign::Insert, &[]).schema();
    let make = |with: &str| crate::connector::testing::sink(&CONNECTOR, &schema, with);
    assert_eq!(make("changes = 'op'").unwrap().changes(), Changes::Accepted);
    let Changes::Refused { advice } = make("").unwrap().changes() else {
        panic!("a sink without `changes` takes no deletes");
    };
    assert!(advice.contains("changes = 'op'"), "{advice}");
    assert_fault(
        make("encode = 'jsom'"),
        &["`encode` cannot be `jsom`", "did you mean `json`?"],
    );
    assert_fault(make("path = 'x'"), &["unknown option `path`"]);
}

#[test]
fn a_column_op_of_the_relation_is_refused() {
    let op: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let schema = RecordBatch::try_from_iter([("Op", op)]).unwrap().schema();
    let made = crate::connector::testing::sink(&CONNECTOR, &schema, "changes = 'op'");
    assert_fault(
        made,
        &[
            "the relation has a column `Op` of its own",
            "adds a column `op`",
        ],
    );
}
