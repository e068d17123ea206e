//! Real files in a temporary directory: rolling, crashes, formats and faults.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::batch::array::{Array, ArrayRef, Int64Array, StringArray};
use crate::batch::datatypes::{DataType, Field, IntervalUnit, Schema as ArrowSchema};
use crate::batch::{Batch, RecordBatch, Sign};
use crate::connector::testing::{assert_fault, context};
use crate::connector::{Context, Event, Flushed};

fn batch(sign: Sign, ids: &[i64]) -> Batch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    Batch {
        rows: RecordBatch::try_from_iter_with_nullable([("id", ids, true)]).unwrap(),
        sign,
        trigger: DateTime::UNIX_EPOCH,
    }
}

fn schema() -> Schema {
    batch(Sign::Insert, &[]).schema()
}

fn make(with: &str) -> Result<Box<dyn SinkConnector>, String> {
    crate::connector::testing::sink(&CONNECTOR, &schema(), with)
}

/// A sink into `directory` under the given name.
fn sink(directory: &Path, name: &str, with: &str) -> Box<dyn SinkConnector> {
    let with = format!("path = '{}/{name}', {with}", directory.display());
    make(&with).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Writes inserts, then flushes.
fn put(writer: &mut dyn SinkWriter, ids: &[i64], end: bool, context: &Context) -> Flushed {
    writer.write(&batch(Sign::Insert, ids), context).unwrap();
    writer.flush(end, context).unwrap()
}

fn durable(next: u64) -> Flushed {
    Flushed::Durable(Some(format!("{{\"next\":{next}}}")))
}

/// Returns name and content of every file in a directory, sorted.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let content = fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, String::from_utf8_lossy(&content).into_owned())
        })
        .collect();
    files.sort();
    files
}

fn pairs(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_str()))
        .collect()
}

#[test]
fn nothing_is_visible_until_the_file_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(
        directory.path(),
        "deep/er/rows.json",
        "roll.interval = '1h'",
    );
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    let deep = directory.path().join("deep/er");
    assert_eq!(put(&mut *writer, &[1], false, &context), Flushed::Pending);
    assert_eq!(files(&deep)[0].0, ".rows-000001.json.tmp");
    assert_eq!(put(&mut *writer, &[2], true, &context), durable(2));
    assert_eq!(
        pairs(&files(&deep)),
        [("rows-000001.json", "{\"id\":1}\n{\"id\":2}\n")]
    );
}

#[test]
fn size_and_interval_end_a_file_at_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let (context, _) = context();
    let by_size = sink(
        directory.path(),
        "s.csv",
        "roll.size = '8B', roll.interval = '1h'",
    );
    let mut writer = by_size.open(&schema(), None).unwrap();
    assert_eq!(put(&mut *writer, &[1], false, &context), Flushed::Pending);
    assert_eq!(put(&mut *writer, &[2, 3], false, &context), durable(2));
    assert_eq!(put(&mut *writer, &[4, 5, 6], false, &context), durable(3));
    let by_time = sink(directory.path(), "t_{n}.csv", "roll.interval = '0s'");
    let mut writer = by_time.open(&schema(), None).unwrap();
    assert_eq!(put(&mut *writer, &[7], false, &context), durable(2));
    let expected = [
        ("s-000001.csv", "id\n1\n2\n3\n"),
        ("s-000002.csv", "id\n4\n5\n6\n"),
        ("t_000001.csv", "id\n7\n"),
    ];
    assert_eq!(pairs(&files(directory.path())), expected);
}

#[test]
fn a_run_without_rows_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.parquet", "");
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    assert_eq!(put(&mut *writer, &[], false, &context), durable(1));
    assert_eq!(writer.flush(true, &context).unwrap(), durable(1));
    assert!(files(directory.path()).is_empty());
}

#[test]
fn after_a_crash_no_row_is_lost_and_none_is_in_two_files() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "roll.interval = '1h'");
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    assert_eq!(put(&mut *writer, &[1], true, &context), durable(2));
    // The file is renamed, then the process dies before the position is committed.
    assert_eq!(put(&mut *writer, &[2, 3], true, &context), durable(3));
    // The process also leaves a file that is half written.
    writer.write(&batch(Sign::Insert, &[4]), &context).unwrap();
    std::mem::forget(writer);
    let mut writer = sink.open(&schema(), Some("{\"next\":2}")).unwrap();
    assert_eq!(put(&mut *writer, &[2], true, &context), durable(3));
    assert_eq!(put(&mut *writer, &[3, 4], true, &context), durable(4));
    let expected = [
        ("rows-000001.json", "{\"id\":1}\n"),
        ("rows-000002.json", "{\"id\":2}\n"),
        ("rows-000003.json", "{\"id\":3}\n{\"id\":4}\n"),
    ];
    assert_eq!(pairs(&files(directory.path())), expected);
}

#[test]
fn what_a_crash_left_is_removed_at_open() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "");
    fs::write(directory.path().join(".rows-000005.json.tmp"), "half").unwrap();
    sink.open(&schema(), Some("{\"next\":5}")).unwrap();
    assert!(files(directory.path()).is_empty());
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_half() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "roll.interval = '1h'");
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    assert_eq!(put(&mut *writer, &[1], false, &context), Flushed::Pending);
    drop(writer);
    assert!(files(directory.path()).is_empty());
}

#[test]
fn nothing_is_said_of_what_could_not_be_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "");
    fs::create_dir(directory.path().join("rows-000001.json")).unwrap();
    let (context, events) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    writer.write(&batch(Sign::Insert, &[1]), &context).unwrap();
    let error = writer.flush(true, &context).unwrap_err().to_string();
    assert!(error.contains("cannot rename a finished file"), "{error}");
    assert!(events.lock().unwrap().is_empty());
}

#[test]
fn replacing_what_was_there_is_said_and_rewriting_our_own_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "");
    let (context, events) = context();
    let warnings = || {
        let events = events.lock().unwrap();
        events
            .iter()
            .filter(|event| matches!(event, Event::Warning(_)))
            .count()
    };
    put(
        &mut *sink.open(&schema(), None).unwrap(),
        &[1],
        true,
        &context,
    );
    put(
        &mut *sink.open(&schema(), Some("{\"next\":1}")).unwrap(),
        &[1],
        true,
        &context,
    );
    assert_eq!(warnings(), 0);
    put(
        &mut *sink.open(&schema(), None).unwrap(),
        &[1],
        true,
        &context,
    );
    assert_eq!(warnings(), 1);
    // Files of higher numbers stay, and their rows with them.
    for number in [2, 14, 1_000_000] {
        fs::write(directory.path().join(format!("rows-{number:06}.json")), "").unwrap();
    }
    put(
        &mut *sink.open(&schema(), None).unwrap(),
        &[1],
        true,
        &context,
    );
    assert_eq!(warnings(), 3);
    let events = events.lock().unwrap();
    let Some(Event::Warning(last)) = events
        .iter()
        .rfind(|event| matches!(event, Event::Warning(_)))
    else {
        panic!("it was counted");
    };
    assert!(
        last.contains("rows-000002.json") && last.contains("3 such files"),
        "{last}"
    );
}

#[test]
fn deletes_are_rows_with_an_op() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.csv", "changes = 'op'");
    assert_eq!(sink.changes(), Changes::Accepted);
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    writer.write(&batch(Sign::Delete, &[1]), &context).unwrap();
    put(&mut *writer, &[2], true, &context);
    let expected = [("rows-000001.csv", "op,id\ndelete,1\ninsert,2\n")];
    assert_eq!(pairs(&files(directory.path())), expected);
}

#[test]
fn parquet_reads_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.parquet", "changes = 'op'");
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    let ids: Vec<i64> = (0..10_000).collect();
    writer.write(&batch(Sign::Insert, &ids), &context).unwrap();
    writer.write(&batch(Sign::Delete, &[7]), &context).unwrap();
    assert_eq!(writer.flush(true, &context).unwrap(), durable(2));
    let file = fs::File::open(directory.path().join("rows-000001.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let compression = reader.metadata().row_group(0).column(1).compression();
    assert_eq!(compression, parquet::basic::Compression::SNAPPY);
    let mut read: Vec<(String, i64)> = Vec::new();
    for rows in reader.build().unwrap() {
        let rows = rows.unwrap();
        let ops = rows
            .column(0)
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap();
        let ids = rows
            .column(1)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap();
        assert_eq!(rows.schema().field(0).name(), "op");
        read.extend((0..rows.num_rows()).map(|row| (ops.value(row).to_owned(), ids.value(row))));
    }
    assert_eq!(read.len(), 10_001);
    assert_eq!(read[42], ("insert".to_owned(), 42));
    assert_eq!(read[10_000], ("delete".to_owned(), 7));
}

#[test]
fn a_large_file_goes_to_the_disk_as_it_grows() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "roll.interval = '1h'");
    let (context, _) = context();
    let mut writer = sink.open(&schema(), None).unwrap();
    let ids: Vec<i64> = (0..100_000).collect();
    assert_eq!(put(&mut *writer, &ids, false, &context), Flushed::Pending);
    let temporary = directory.path().join(".rows-000001.json.tmp");
    assert!(fs::metadata(temporary).unwrap().len() > 1_000_000);
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("plain"), "").unwrap();
    let sink = sink(directory.path(), "plain/rows.json", "");
    let error = format!("{:#}", sink.open(&schema(), None).err().unwrap());
    assert!(error.contains("cannot create the directory"), "{error}");
    assert!(error.contains("plain"), "{error}");
    let unwritable = make("path = '/proc/rows.json'").unwrap();
    let error = format!("{:#}", unwritable.open(&schema(), None).err().unwrap());
    assert!(
        error.contains("the directory `/proc/` is not writable"),
        "{error}"
    );
}

#[test]
fn a_state_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink(directory.path(), "rows.json", "");
    let error = sink.open(&schema(), Some("{\"offset\":2}")).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("the state of the file sink is not readable")
    );
}

#[test]
fn paths_through_a_link_are_one() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("real")).unwrap();
    std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
    let claims = |name: &str| sink(root, name, "").claims().unwrap();
    assert_eq!(claims("real/x.json"), claims("link/x.json"));
    assert_eq!(claims("real/new/x.json"), claims("link/old/../new/x.json"));
    assert_eq!(claims("link/../x.json"), claims("x.json"));
    assert_ne!(claims("real/x.json"), claims("link/y.json"));
}

#[test]
fn names_and_formats_follow_the_path() {
    let name = |path: &str| FileNames::parse(path).unwrap().finished(12);
    assert_eq!(name("out/trades.json"), Path::new("out/trades-000012.json"));
    assert_eq!(name("../a{n}b.csv"), Path::new("../a000012b.csv"));
    assert_eq!(name("/x/.hidden"), Path::new("/x/.hidden-000012"));
    assert_eq!(name("plain"), Path::new("plain-000012"));
    let temporary = FileNames::parse("out/{n}.json").unwrap().temporary(1);
    assert_eq!(temporary, Path::new("out/.000001.json.tmp"));
    assert_eq!(FileFormat::of_extension("PARQUET"), FileFormat::Parquet);
    assert_eq!(
        FileFormat::of_extension("csv"),
        FileFormat::Lines(super::super::lines::LineFormat::Csv)
    );
    assert_eq!(
        FileFormat::of_extension("log"),
        FileFormat::Lines(super::super::lines::LineFormat::Json)
    );
}

#[test]
fn wrong_options_are_faults() {
    assert_fault(make(""), &["option `path` is missing"]);
    assert_fault(
        make("path = 'out/'"),
        &["`out/` does not end with a file name"],
    );
    assert_fault(make("path = 'a/{n}/b.json'"), &["`{n}` is in a directory"]);
    assert_fault(make("path = '{n}{n}.json'"), &["`{n}` is twice"]);
    let unknown = make("path = 'rows-{date}.json'");
    assert_fault(
        unknown,
        &[
            "unknown placeholder `{date}`",
            "test.sql:1:20",
            "the only placeholder is `{n}`",
        ],
    );
    assert_fault(
        make("path = 'a', encode = 'parket'"),
        &["did you mean `parquet`?"],
    );
    for size in ["big", "0"] {
        assert_fault(
            make(&format!("path = 'a', roll.size = '{size}'")),
            &["`roll.size` is not a size above zero"],
        );
    }
    assert_fault(
        make("path = 'a', compression = 'snappy'"),
        &["unknown option `compression`"],
    );
    let Changes::Refused { advice } = make("path = 'a'").unwrap().changes() else {
        panic!("a sink without `changes` takes no deletes");
    };
    assert!(advice.contains("changes = 'op'"), "{advice}");
}

#[test]
fn a_column_that_parquet_cannot_hold_is_a_fault_at_validate() {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let schema: Schema = Arc::new(ArrowSchema::new(vec![Field::new("i", interval, true)]));
    let made = crate::connector::testing::sink(&CONNECTOR, &schema, "path = 'a.parquet'");
    assert_fault(made, &["column `i` cannot be written as Parquet"]);
}
