//! Both ways of running a filter give the same answer, on thousands of odd documents.

use super::{column, shown};
use crate::batch::Column;
use crate::batch::datatypes::{DataType, Field, Fields, TimeUnit};
use crate::format::decode::Decoder;
use crate::format::jq::{Filter, Way};
use crate::format::testing::{Documents, Filters};

const FILTERS: &[&str] = &[
    ".",
    ".[]",
    ".a",
    ".a.b",
    ".a[]",
    ".a.b[]",
    ".[0]",
    ".[1].a",
    ".a[2][]",
    ".[][]",
    ".[] | .a",
    ".a | .[] | .b",
    ".[] | {a, b}",
    ".a[] | {a: .b, b: .a}",
    ". | {A: .a.b, b: .a.a, \"c\": .c}",
    ".[] | {a: .[0], b: .[1].a, c: .[2]}",
    ".[] | {a: (.a | tonumber), b: (.b | tostring)}",
    ".a | {a: ., b: .a, c: \"k\\n\"}",
    "{a: .a.a.a, b: .a.a, c: .a}",
    "{a: .b[0][1], b: .b[0], c: .b[1] | tostring}",
    ".\"\\u0061\" | {a, b, c, C}",
];

fn columns() -> Vec<Column> {
    let field = |name: &str, arrow: DataType| Field::new(name, arrow, true);
    let structure = Fields::from(vec![
        field("a", DataType::Utf8),
        field("b", DataType::Float64),
    ]);
    let mut columns = vec![
        column("a", "VARCHAR", DataType::Utf8),
        column("b", "DOUBLE", DataType::Float64),
        column("C", "JSON", DataType::Utf8),
        column("d", "STRUCT", DataType::Struct(structure)),
        column(
            "b2",
            "TIMESTAMP",
            DataType::Timestamp(TimeUnit::Millisecond, None),
        ),
    ];
    columns[1].nullable = false;
    columns
}

#[test]
fn both_ways_give_the_same_answer() {
    let mut documents = Documents::new(20_240_102);
    let only = vec![column("a", "VARCHAR", DataType::Utf8)];
    let decoders: Vec<(Decoder, Decoder)> = FILTERS
        .iter()
        .flat_map(|text| [(text, columns()), (text, only.clone())])
        .map(|(text, columns)| {
            let filter = Filter::compile(text).unwrap();
            assert_eq!(filter.way(), Way::Extracted, "{text}");
            let interpreted = Decoder::new(columns.clone(), filter.interpreted(), None);
            (Decoder::new(columns, filter, None), interpreted)
        })
        .collect();
    let (mut rows, mut rejects, mut errors) = (0, 0, 0);
    for _ in 0..3_000 {
        let body = documents.body();
        for (extracted, interpreted) in &decoders {
            let context = || format!("{:?} on {body}", extracted.filter);
            let one = extracted.decode_page(body.as_bytes(), Some("c"), None);
            let other = interpreted.decode_page(body.as_bytes(), Some("c"), None);
            match (one, other) {
                (Ok(one), Ok(other)) => {
                    assert_eq!(shown(&one.decoded), shown(&other.decoded), "{}", context());
                    assert_eq!(one.row_count, other.row_count, "{}", context());
                    assert_eq!(one.last_cursor, other.last_cursor, "{}", context());
                    rows += one.decoded.rows.num_rows();
                    rejects += one.decoded.rejects.len();
                }
                (Err(one), Err(other)) => {
                    assert_eq!(format!("{one:#}"), format!("{other:#}"), "{}", context());
                    errors += 1;
                }
                (one, other) => panic!("{}: {one:?} but {other:?}", context()),
            }
        }
    }
    // The documents are neither all wrong nor all right.
    assert!(
        rows > 10_000 && rejects > 10_000 && errors > 1_000,
        "{rows} {rejects} {errors}"
    );
}

/// Generated filters into rows, on generated documents.
#[test]
fn generated_filters_give_the_same_rows() {
    let (mut documents, mut filters) = (Documents::new(7), Filters::new(11));
    let (mut extracted, mut rows, mut rejects) = (0, 0, 0);
    for _ in 0..600 {
        let text = filters.filter();
        let filter = Filter::compile(&text).unwrap();
        extracted += usize::from(filter.way() == Way::Extracted);
        let interpreted = Decoder::new(columns(), filter.interpreted(), None);
        let decoder = Decoder::new(columns(), filter, None);
        for _ in 0..12 {
            let body = documents.body();
            let one = decoder.decode_page(body.as_bytes(), Some("c"), None);
            let other = interpreted.decode_page(body.as_bytes(), Some("c"), None);
            match (one, other) {
                (Ok(one), Ok(other)) => {
                    assert_eq!(
                        shown(&one.decoded),
                        shown(&other.decoded),
                        "{text} on {body}"
                    );
                    assert_eq!(one.row_count, other.row_count, "{text} on {body}");
                    assert_eq!(one.last_cursor, other.last_cursor, "{text} on {body}");
                    rows += one.decoded.rows.num_rows();
                    rejects += one.decoded.rejects.len();
                }
                (Err(one), Err(other)) => {
                    assert_eq!(format!("{one:#}"), format!("{other:#}"), "{text} on {body}");
                }
                (one, other) => panic!("{text} on {body}: {one:?} but {other:?}"),
            }
        }
    }
    assert!(
        extracted > 580 && rows > 80 && rejects > 1_000,
        "{extracted} {rows} {rejects}"
    );
}
