//! The rows, their pace, the cursor and the options.

use super::*;
use crate::connector::testing::{assert_fault, context};

const NUMBERED: &[(&str, DataType)] = &[("n", DataType::Int64), ("Seed", DataType::Int64)];

fn make(columns: &[(&str, DataType)], with: &str) -> Result<Box<dyn SourceConnector>, String> {
    crate::connector::testing::source(&CONNECTOR, columns, with)
}

/// Reads until the end or until `reads` calls were made.
fn read(
    source: &dyn SourceConnector,
    cursor: Option<&str>,
    reads: usize,
) -> (Vec<Delivery>, ReadEnd) {
    let mut reader = source.open(cursor, &context().0).unwrap();
    let (context, _) = context();
    let mut deliveries = Vec::new();
    let mut end = ReadEnd::Idle;
    for _ in 0..reads {
        let mut emit = |delivery| {
            deliveries.push(delivery);
            Ok(())
        };
        end = reader
            .read(DateTime::UNIX_EPOCH, &context, &mut emit)
            .unwrap();
        if end == ReadEnd::Finished {
            break;
        }
    }
    (deliveries, end)
}

fn column(delivery: &Delivery, index: usize) -> Vec<i64> {
    let array = delivery.decoded.rows.column(index);
    array
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap()
        .values()
        .to_vec()
}

#[test]
fn rows_are_numbered_and_end() {
    let source = make(NUMBERED, "rows = 5, batch.max_rows = 2, seed = 7").unwrap();
    let (deliveries, end) = read(&*source, None, 10);
    assert_eq!(end, ReadEnd::Finished);
    let numbers: Vec<Vec<i64>> = deliveries.iter().map(|rows| column(rows, 0)).collect();
    assert_eq!(numbers, [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(column(&deliveries[0], 1), [7, 7]);
    assert_eq!(deliveries[0].decoded.rows.schema().field(1).name(), "Seed");
    let cursors: Vec<_> = deliveries
        .iter()
        .map(|rows| rows.cursor.as_deref().unwrap())
        .collect();
    assert_eq!(cursors, ["2", "4", "5"]);
}

#[test]
fn a_cursor_goes_on_where_it_was() {
    let source = make(NUMBERED, "rows = 5").unwrap();
    let (deliveries, _) = read(&*source, Some("3"), 1);
    assert_eq!(column(&deliveries[0], 0), [3, 4]);
    let (deliveries, end) = read(&*source, Some("5"), 1);
    assert!(deliveries.is_empty());
    assert_eq!(end, ReadEnd::Finished);
    let error = source.open(Some("x"), &context().0).err().unwrap();
    assert!(error.to_string().contains("not a number: `x`"));
}

#[test]
fn an_endless_source_does_not_finish() {
    let source = make(&[("n", DataType::Int64)], "").unwrap();
    let (deliveries, end) = read(&*source, None, 3);
    assert_eq!(end, ReadEnd::Idle);
    assert_eq!(
        deliveries
            .iter()
            .map(|rows| rows.decoded.rows.num_rows())
            .sum::<usize>(),
        3 * 8192
    );
}

#[test]
fn no_column_at_all_still_has_rows() {
    let source = make(&[], "rows = 3").unwrap();
    let (deliveries, _) = read(&*source, None, 1);
    let rows = &deliveries[0].decoded.rows;
    assert_eq!((rows.num_columns(), rows.num_rows()), (0, 3));
}

#[test]
fn rows_per_second_makes_small_batches_that_never_drift() {
    let start = Instant::now();
    let pace = Pace::new(1000.0, 10, start);
    assert_eq!(pace.batch_rows(), 100);
    assert_eq!(pace.due(10), start);
    assert_eq!(pace.due(1010), start + Duration::from_secs(1));
    assert_eq!(
        pace.due(10 + 86_400_000),
        start + Duration::from_secs(86_400)
    );
    assert_eq!(Pace::new(0.5, 0, start).batch_rows(), 1);
    assert_eq!(
        Pace::new(0.5, 0, start).due(1),
        start + Duration::from_secs(2)
    );
    let source = make(NUMBERED, "rows_per_second = 1000, rows = 150").unwrap();
    let (deliveries, end) = read(&*source, None, 10);
    let sizes: Vec<usize> = deliveries
        .iter()
        .map(|rows| rows.decoded.rows.num_rows())
        .collect();
    assert_eq!((sizes, end), (vec![100, 50], ReadEnd::Finished));
}

#[test]
fn a_stop_ends_the_wait() {
    let source = make(NUMBERED, "rows_per_second = '0.001'").unwrap();
    let mut reader = source.open(None, &context().0).unwrap();
    let (context, _) = context();
    let mut emit = |_| Ok(());
    assert_eq!(
        reader
            .read(DateTime::UNIX_EPOCH, &context, &mut emit)
            .unwrap(),
        ReadEnd::Idle
    );
    context.stop.stop();
    let error = reader
        .read(DateTime::UNIX_EPOCH, &context, &mut emit)
        .unwrap_err();
    assert_eq!(error.to_string(), "stopped");
}

#[test]
fn other_columns_must_be_generated_ones() {
    let columns = [("n", DataType::Int64), ("price", DataType::Float64)];
    let help = "write `price Float64 AS (expression over n)`";
    assert_fault(
        make(&columns, ""),
        &["`generate` does not fill column `price`", help],
    );
    let columns = [("n", DataType::Int32)];
    assert_fault(
        make(&columns, ""),
        &["column `n` must be a BIGINT, not Int32"],
    );
}

#[test]
fn wrong_values_are_faults() {
    assert_fault(
        make(NUMBERED, "rows = 0"),
        &["`rows` is not a whole number from 1"],
    );
    assert_fault(
        make(NUMBERED, "rows_per_second = 0"),
        &["`rows_per_second` is not a number of rows above 0"],
    );
    assert_fault(
        make(NUMBERED, "rows_per_second = nan"),
        &["`rows_per_second` is not"],
    );
    assert_fault(
        make(NUMBERED, "batch.max_rows = 2000000"),
        &["from 1 to 1048576"],
    );
    assert_fault(
        make(NUMBERED, "row = 5"),
        &["unknown option `row`", "did you mean `rows`?"],
    );
}

#[test]
fn a_seed_needs_its_column() {
    assert_fault(
        make(&[("n", DataType::Int64)], "seed = 7"),
        &["there is no column `seed`", "^", "declare `seed BIGINT`"],
    );
}
