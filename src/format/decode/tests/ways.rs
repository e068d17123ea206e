//! Both ways of running a filter give the same answer, on thousands of odd documents.

use super::{column, shown};
use crate::batch::Column;
use crate::batch::datatypes::{DataType, Field, Fields, TimeUnit};
use crate::format::decode::Decoder;
use crate::format::jq::{Filter, Way};

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

/// Makes JSON texts: mostly well-shaped, sometimes with what makes them odd.
struct Generator {
    random: fastrand::Rng,
}

impl Generator {
    fn space(&mut self) -> &'static str {
        ["", "", "", "", " ", "\n\t"][self.random.usize(..6)]
    }

    fn key(&mut self) -> &'static str {
        let keys = [
            "a", "a", "a", "b", "b", "c", "A", "B", "d", "b2", "\\u0061", "x\\\"y", "é",
        ];
        keys[self.random.usize(..keys.len())]
    }

    fn scalar(&mut self) -> String {
        let scalars = [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1.10",
            "-2.5e-3",
            "1E400",
            "12345678901234567890123",
            "1704164645678",
            "\"\"",
            "\"1.5\"",
            "\"007\"",
            "\"-0\"",
            "\" 1\"",
            "\"abc\"",
            "\"\\u00e9\\n\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"\\/\\\"\"",
            "\"2024-01-02T03:04:05Z\"",
            "\"nan\"",
            "\"ünï\"",
            "\"\\u0000\\u007f\"",
            "1",
            "2",
            "3",
        ];
        scalars[self.random.usize(..scalars.len())].to_owned()
    }

    fn value(&mut self, depth: usize, out: &mut String) {
        out.push_str(self.space());
        match self.random.u8(..10) {
            0..4 if depth > 0 => {
                let count = self.random.usize(..5);
                out.push('{');
                for number in 0..count {
                    if number > 0 {
                        out.push(',');
                    }
                    let (space, key) = (self.space(), self.key());
                    out.push_str(&format!("{space}\"{key}\"{space}:"));
                    self.value(depth - 1, out);
                }
                out.push('}');
            }
            4..7 if depth > 0 => {
                let count = self.random.usize(..5);
                out.push('[');
                for number in 0..count {
                    if number > 0 {
                        out.push(',');
                    }
                    self.value(depth - 1, out);
                }
                out.push(']');
            }
            _ => out.push_str(&self.scalar()),
        }
        out.push_str(self.space());
    }

    fn body(&mut self) -> String {
        let mut body = String::new();
        for _ in 0..1 + self.random.usize(..2) {
            self.value(4, &mut body);
            body.push('\n');
        }
        if self.random.u8(..20) == 0 {
            // Cut off, at a character's boundary.
            let at = self.random.usize(..=body.len());
            let at = (0..=at)
                .rev()
                .find(|at| body.is_char_boundary(*at))
                .unwrap_or(0);
            body.truncate(at);
        }
        body
    }
}

#[test]
fn both_ways_give_the_same_answer() {
    let mut generator = Generator {
        random: fastrand::Rng::with_seed(20_240_102),
    };
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
        let body = generator.body();
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
