//! Tests of bodies to rows.

mod parts;
mod ways;

use super::*;
use crate::batch::datatypes::TimeUnit;
use crate::format::json::JsonEncoder;

pub fn column(name: &str, sql_type: &str, arrow: DataType) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        arrow,
        nullable: true,
        in_key: false,
    }
}

fn prices() -> Vec<Column> {
    vec![
        column("symbol", "VARCHAR", DataType::Utf8),
        column("price", "DOUBLE", DataType::Float64),
        column(
            "time",
            "TIMESTAMP",
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
    ]
}

/// Shows a decoded body: rows as JSON lines, then what was refused.
pub fn shown(decoded: &Decoded) -> Vec<String> {
    let mut out = Vec::new();
    let encoder = JsonEncoder::new(decoded.rows.schema_ref(), &[]).unwrap();
    encoder.encode_lines(&decoded.rows, &mut out).unwrap();
    let rows = String::from_utf8(out).unwrap();
    let rejects = decoded
        .rejects
        .iter()
        .map(|reject| format!("! {} | {}", reject.message, reject.payload));
    rows.lines().map(str::to_owned).chain(rejects).collect()
}

#[track_caller]
fn check(columns: Vec<Column>, filter: &str, body: &str, expected: &[&str]) {
    let filter = Filter::compile(filter).unwrap();
    for filter in [filter.interpreted(), filter] {
        let decoder = Decoder::new(columns.clone(), filter, None);
        let decoded = decoder.decode(body.as_bytes()).unwrap();
        assert_eq!(shown(&decoded), expected, "{}", decoder.way());
    }
}

#[test]
fn fields_go_to_columns_by_name() {
    check(
        prices(),
        ".[]",
        r#"[{"PRICE":1,"extra":{},"symbol":"A"},{"symbol":"B","price":"2.5","Price":9}]"#,
        &[
            r#"{"symbol":"A","price":1.0,"time":null}"#,
            r#"{"symbol":"B","price":2.5,"time":null}"#,
        ],
    );
}

#[test]
fn an_array_output_is_flattened_one_level() {
    check(
        prices(),
        ".",
        r#"[{"symbol":"A"},[{"symbol":"B"}],7]"#,
        &[
            r#"{"symbol":"A","price":null,"time":null}"#,
            r#"! a row is to be an object, found `[{"symbol":"B"}]` | [{"symbol":"B"}]"#,
            "! a row is to be an object, found `7` | 7",
        ],
    );
}

#[test]
fn concatenated_and_line_delimited_documents() {
    for body in [
        "{\"symbol\":\"A\"}{\"symbol\":\"B\"}",
        "\u{FEFF}{\"symbol\":\"A\"}\r\n\n{\"symbol\":\"B\"}\n",
    ] {
        check(
            prices(),
            ". | {symbol}",
            body,
            &[
                r#"{"symbol":"A","price":null,"time":null}"#,
                r#"{"symbol":"B","price":null,"time":null}"#,
            ],
        );
    }
    check(prices(), ".", " \n", &[]);
}

#[test]
fn an_only_column_takes_scalar_rows() {
    let only = vec![column("id", "BIGINT", DataType::Int64)];
    check(
        only.clone(),
        ".ids",
        r#"{"ids":[1,"2",null,{"id":3},"x",[4]]}"#,
        &[
            r#"{"id":1}"#,
            r#"{"id":2}"#,
            r#"{"id":null}"#,
            r#"{"id":3}"#,
            "! column `id`: `x` is not a BIGINT | \"x\"",
            "! a row is to be an object, found `[4]` | [4]",
        ],
    );
    check(
        only,
        ".[] | . + 1",
        "[1, 2]",
        &[r#"{"id":2}"#, r#"{"id":3}"#],
    );
}

#[test]
fn a_row_that_does_not_fit_leaves_nothing_behind() {
    check(
        prices(),
        ".[]",
        r#"[{"symbol":"A","price":1}, {"symbol":"B", "price":"n/a"}, {"symbol":"C","time":"soon"}]"#,
        &[
            r#"{"symbol":"A","price":1.0,"time":null}"#,
            r#"! column `price`: `n/a` is not a DOUBLE | {"symbol":"B","price":"n/a"}"#,
            r#"! column `time`: `soon` is not a TIMESTAMP | {"symbol":"C","time":"soon"}"#,
        ],
    );
}

#[test]
fn a_null_in_a_not_null_column_is_a_reject() {
    let mut columns = prices();
    columns[1].nullable = false;
    check(
        columns,
        ".[] | {symbol, price: .p}",
        r#"[{"symbol":"A"},{"symbol":"B","p":2}]"#,
        &[
            r#"{"symbol":"B","price":2.0,"time":null}"#,
            r#"! column `price`: NULL, but it is declared NOT NULL | {"symbol":"A","price":null}"#,
        ],
    );
}

#[test]
fn a_null_in_the_primary_key_is_told_as_that() {
    let mut columns = prices();
    (columns[1].nullable, columns[1].in_key) = (false, true);
    check(
        columns,
        ".[] | {symbol, price: .p}",
        r#"[{"symbol":"A"}]"#,
        &[r#"! column `price`: NULL, but it is of the primary key | {"symbol":"A","price":null}"#],
    );
}

#[test]
fn built_rows_reach_into_objects_and_arrays() {
    check(
        prices(),
        ".data[] | {symbol: .[0], price: .[2].last | tonumber, time: .[1]}",
        r#"{"data":[["A",1704164645,{"last":"1.5"}],["B",1704164645678,{"last":2}],null]}"#,
        &[
            r#"{"symbol":"A","price":1.5,"time":"2024-01-02T03:04:05Z"}"#,
            r#"{"symbol":"B","price":2.0,"time":"2024-01-02T03:04:05.678Z"}"#,
            r#"! jq: cannot use null as string | {"data":[["A",1704164645,{"last":"1.5"}],["B",1704164645678,{"last":2}],null]}"#,
        ],
    );
}

#[test]
fn a_fault_of_the_filter_is_a_reject_after_the_rows_before_it() {
    check(
        prices(),
        ".[] | {symbol: .s.t}",
        r#"[{"s":{"t":"A"}},{"s":3},{"s":{"t":"C"}}] [{"s":{"t":"D"}}]"#,
        &[
            r#"{"symbol":"A","price":null,"time":null}"#,
            r#"{"symbol":"D","price":null,"time":null}"#,
            r#"! jq: cannot index 3 with "t" | [{"s":{"t":"A"}},{"s":3},{"s":{"t":"C"}}]"#,
        ],
    );
}

#[test]
fn a_long_message_of_the_filter_keeps_both_ends() {
    let filter = Filter::compile(".[] | {symbol: .s.t}").unwrap();
    let decoder = Decoder::new(prices(), filter, None);
    let body = format!(r#"[{{"s":[{}]}}]"#, ["1234567"; 1000].join(","));
    let message = decoder.decode(body.as_bytes()).unwrap().rejects[0]
        .message
        .clone();
    assert!(
        message.starts_with("jq: cannot index [1234567,"),
        "{message}"
    );
    assert!(message.ends_with(",1234567] with \"t\""), "{message}");
    assert!(message.chars().count() < 300, "{message}");
}

#[test]
fn a_body_that_is_no_json_is_an_error_with_its_place() {
    for (body, expected) in [
        (
            "<html>",
            "not valid JSON at line 1 column 1 (byte 0): expected a value, found '<'",
        ),
        (
            "{\"symbol\":\"A\"}\n{\"symbol\"",
            "not valid JSON at line 2 column 10 (byte 24): expected `:`, the text ends",
        ),
        (
            "[1,2",
            "not valid JSON at line 1 column 5 (byte 4): expected `,` or `]`, the text ends",
        ),
        (
            "01",
            "not valid JSON at line 1 column 2 (byte 1): expected whitespace after the document, found '1'",
        ),
    ] {
        for filter in [".", ".[] | {symbol}", "select(true)"] {
            let decoder = Decoder::new(prices(), Filter::compile(filter).unwrap(), None);
            assert_eq!(
                decoder.decode(body.as_bytes()).unwrap_err().to_string(),
                expected,
                "{filter}"
            );
        }
    }
    let decoder = Decoder::new(prices(), Filter::identity(), None);
    let error = decoder.decode(b"{\"a\":\"\xFF\"}").unwrap_err().to_string();
    assert_eq!(error, "not valid JSON at byte 6: the body is not UTF-8");
}

#[test]
fn a_fixed_unit_wins_over_the_guess() {
    let decoder = Decoder::new(prices(), Filter::identity(), Some(TimestampUnit::Second));
    let decoded = decoder.decode(br#"{"time": 1704164645678}"#).unwrap();
    assert_eq!(
        shown(&decoded),
        [r#"{"symbol":null,"price":null,"time":"+55972-10-29T20:14:38Z"}"#]
    );
}

#[test]
fn a_page_tells_how_to_go_on() {
    let filter = Filter::compile(".items[] | {symbol, price, ID: .id}").unwrap();
    let link = Filter::compile(".paging.next").unwrap();
    let page = |filter: Filter, body: &str| {
        let decoder = Decoder::new(prices(), filter, None);
        let page = decoder
            .decode_page(body.as_bytes(), Some("id"), Some(&link))
            .unwrap();
        (
            page.row_count,
            page.decoded.rejects.len(),
            page.last_cursor,
            page.link,
        )
    };
    for filter in [filter.interpreted(), filter] {
        for (body, expected) in [
            (
                r#"{"items":[{"id":7},{"id":17e1,"price":"x"}],"paging":{"next":"/p?c=2"}}"#,
                (2, 1, Some("170"), Some("/p?c=2")),
            ),
            (
                r#"{"items":[{"id":"abc"}],"paging":{"next":5}}"#,
                (1, 0, Some("abc"), Some("5")),
            ),
            (
                r#"{"items":[{"id":3},{}],"paging":{"next":""}}"#,
                (2, 0, None, None),
            ),
            (r#"{"items":[],"paging":null}"#, (0, 0, None, None)),
        ] {
            let (rows, rejects, cursor, next) = page(filter.clone(), body);
            assert_eq!(
                (rows, rejects, cursor.as_deref(), next.as_deref()),
                expected,
                "{body}"
            );
        }
    }
}

#[test]
fn a_page_is_empty_if_it_has_no_items() {
    let item = r#"[{"id":1}]"#;
    let within = r#"{"items":[{"id":1}]}"#;
    for (filter, body, is_empty) in [
        (".[] | select(.id > 5)", item, false),
        (".[] | select(.id > 5)", "[]", true),
        (".[] | select(.id > 5)", r#"[] [{"id":1}]"#, false),
        ("map(select(.id > 5))", item, false),
        (".items[] | select(.id > 5) | {id}", within, false),
        (".items[] | select(.id > 5) | {id}", r#"{"items":[]}"#, true),
        (".[] | select(.id > 5)", r#"{"a":{"id":1}}"#, false),
        (".[] | select(.id > 5)", "{}", true),
        // The first `[]` is what counts, and of a slice what lies in it.
        (".[] | .tags[]", r#"[{"tags":[]}]"#, false),
        (".[1:][] | select(.id > 5)", item, true),
        (".[0:][] | select(.id > 5)", item, false),
        // What is left to the interpreter after some items has some.
        (".[] | {symbol: .id.name}", item, false),
        ("(.items // []) | map(select(.id > 5))", within, false),
        ("(.items // []) | map(select(.id > 5))", "{}", true),
        // Nobody counts here.
        ("select(.id > 5)", r#"{"id":1}"#, true),
        ("first(.[] | select(.id > 5))", item, true),
    ] {
        let decoder = Decoder::new(prices(), Filter::compile(filter).unwrap(), None);
        let page = decoder.decode_page(body.as_bytes(), None, None).unwrap();
        assert_eq!(
            (page.row_count, page.is_empty),
            (0, is_empty),
            "{filter} of {body}"
        );
    }
}

#[test]
fn a_cursor_need_not_be_a_column() {
    let decoder = Decoder::new(prices(), Filter::identity(), None);
    let page = decoder
        .decode_page(
            br#"[{"symbol":"A","seq":1},{"seq":12345678901234567890}]"#,
            Some("seq"),
            None,
        )
        .unwrap();
    assert_eq!(
        (page.row_count, page.last_cursor.as_deref()),
        (2, Some("12345678901234567890"))
    );
    let error = decoder
        .decode_page(br#"{"seq":[1]}"#, Some("seq"), None)
        .unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the cursor of the last row: expected a text or number, found `[1]`"
    );
}

#[test]
fn no_columns_and_foreign_types() {
    check(vec![], ".", r#"{"a":1}"#, &["{}"]);
    let interval = column("i", "UUID", DataType::Utf8);
    check(vec![interval], ".", r#"{"i":"x-y"}"#, &[r#"{"i":"x-y"}"#]);
}
