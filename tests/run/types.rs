//! From JSON to columns and back: names, types, rows that do not fit.

use serde_json::{Value, json};

use super::setting::{Setting, assert_rows, column};
use crate::support::http::Reply;

/// Polls one body into a table of these columns; returns the setting and what the sink printed.
fn load(columns: &str, options: &str, body: &Value) -> (Setting, Vec<Value>) {
    let sql = format!(
        "CREATE TABLE loaded ({columns}) WITH (
            connector = 'http', url = '${{URL}}/rows', interval = '1h', {options}
        );
        CREATE SINK printed FROM loaded WITH (connector = 'stdout');"
    );
    let setting = Setting::scripted(&sql, vec![Reply::value(body)]);
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0), "{output}");
    let rows = output.json_lines();
    (setting, rows)
}

#[test]
fn fields_go_by_name_whatever_their_order_and_others_are_left_out() {
    let body = json!([
        {"sell": 2.5, "extra": {"deep": [1]}, "symbol": "A", "buy": 1.5},
        {"symbol": "B", "buy": 3.5, "sell": 4.5},
    ]);
    let (_, rows) = load("symbol STRING, buy DOUBLE, sell DOUBLE", "", &body);
    let expected = [
        json!({"symbol": "A", "buy": 1.5, "sell": 2.5}),
        json!({"symbol": "B", "buy": 3.5, "sell": 4.5}),
    ];
    assert_rows(&rows, &expected, &"");
}

#[test]
fn a_missing_field_and_null_are_null_and_numbers_in_texts_convert() {
    let body = json!([{"id": "7", "price": "1.25"}, {"id": 8, "price": null}, {"id": 9}]);
    let (_, rows) = load("id BIGINT, price DOUBLE", "", &body);
    let expected = [
        json!({"id": 7, "price": 1.25}),
        json!({"id": 8, "price": null}),
        json!({"id": 9, "price": null}),
    ];
    assert_rows(&rows, &expected, &"");
}

#[test]
fn nested_columns_load() {
    let columns = "info STRUCT(name VARCHAR, \"size\" INTEGER), tags VARCHAR[], raw JSON, \
        scores MAP(VARCHAR, DOUBLE), deep STRUCT(points STRUCT(x DOUBLE, y DOUBLE)[])";
    let row = json!({
        "info": {"name": "a", "size": 3}, "tags": ["x", "y"], "raw": {"any": [1, null, "z"]},
        "scores": {"p": 1.5, "q": 2.5}, "deep": {"points": [{"x": 1.0, "y": 2.0}]},
    });
    let empty =
        json!({"info": null, "tags": [], "raw": null, "scores": {}, "deep": {"points": null}});
    let (setting, rows) = load(columns, "", &json!([row, empty]));
    assert_rows(&rows, &[row, empty], &"");
    let inside = "SELECT info.name AS name, tags[2] AS tag, raw->>'$.any[2]' AS raw, scores['q'] AS score, \
        deep.points[1].y AS y FROM loaded LIMIT 1";
    let expected = json!({"name": "a", "tag": "y", "raw": "z", "score": 2.5, "y": 2.0});
    assert_eq!(setting.rows(inside), [expected]);
}

#[test]
fn exact_numbers_and_identifiers_load_without_loss() {
    let columns = "price DECIMAL(38, 10), large HUGEINT, id UUID, whole UBIGINT, ok BOOLEAN";
    // As text in the body, because JSON's own numbers would not survive this test's parser.
    let body = r#"[{"price": 1234567890123456789012345678.0123456789, "large": -99999999999999999999999999999999999999,
        "id": "550E8400-e29b-41d4-a716-446655440000", "whole": 18446744073709551615, "ok": true}]"#;
    let sql = format!(
        "CREATE TABLE loaded ({columns}) WITH (connector = 'http', url = '${{URL}}/rows', interval = '1h');
        CREATE SINK printed FROM loaded WITH (connector = 'stdout');"
    );
    let setting = Setting::scripted(&sql, vec![Reply::json(body)]);
    let output = setting.once_kept().expect_code(0);
    let texts = setting.rows(
        "SELECT price::VARCHAR AS price, large::VARCHAR AS large, id::VARCHAR AS id, whole::VARCHAR AS whole, ok \
         FROM loaded",
    );
    let expected = json!({
        "price": "1234567890123456789012345678.0123456789",
        "large": "-99999999999999999999999999999999999999",
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "whole": "18446744073709551615", "ok": true,
    });
    assert_eq!(texts, [expected], "{output}");
    for digits in [
        "1234567890123456789012345678.0123456789",
        "-99999999999999999999999999999999999999",
    ] {
        assert!(output.stdout.contains(digits), "{output}");
    }
}

#[test]
fn instants_load_from_texts_and_from_epochs_of_every_unit() {
    let columns = "s TIMESTAMP_S, ms TIMESTAMP_MS, us TIMESTAMP, ns TIMESTAMP_NS, tz TIMESTAMPTZ, d DATE, t TIME";
    let text = json!({
        "s": "2026-01-02T03:04:05Z", "ms": "2026-01-02T03:04:05.678Z", "us": "2026-01-02 03:04:05.678901",
        "ns": "2026-01-02T03:04:05.678901234Z", "tz": "2026-01-02T05:04:05+02:00", "d": "2026-01-02",
        "t": "03:04:05",
    });
    let epoch = json!({
        "s": 1_767_323_045, "ms": 1_767_323_045_678_i64, "us": 1_767_323_045_678_901_i64,
        "ns": 1_767_323_045_678_901_234_i64, "tz": 1_767_323_045, "d": "2026-01-02", "t": "03:04:05",
    });
    let (setting, rows) = load(columns, "", &json!([text, epoch]));
    let same = setting.rows("SELECT count(DISTINCT (s, ms, us, ns, d, t)) AS n FROM loaded");
    assert_eq!(same, [json!({"n": 1})], "{rows:#?}");
    let shown = setting.rows(
        "SELECT s::VARCHAR AS s, ms::VARCHAR AS ms, us::VARCHAR AS us, ns::VARCHAR AS ns, \
         epoch_ms(tz) AS tz, d::VARCHAR AS d, t::VARCHAR AS t FROM loaded",
    );
    let expected = json!({
        "s": "2026-01-02 03:04:05", "ms": "2026-01-02 03:04:05.678", "us": "2026-01-02 03:04:05.678901",
        "ns": "2026-01-02 03:04:05.678901234", "tz": 1_767_323_045_000_i64, "d": "2026-01-02", "t": "03:04:05",
    });
    assert_eq!(shown, [expected.clone(), expected]);
}

#[test]
fn times_with_zones_and_nanoseconds_are_cast_as_they_came() {
    let sql = "CREATE TABLE loaded (tz TIMETZ, zoned TIME WITH TIME ZONE, ns TIME_NS)
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE VIEW texts AS SELECT tz::VARCHAR AS tz, zoned::VARCHAR AS zoned, ns FROM loaded;
        CREATE SINK printed FROM texts WITH (connector = 'stdout');";
    let body = json!([
        {"tz": "10:00:00+02:00", "zoned": "10:00:00", "ns": "10:00:00.123456789"},
        {"tz": "ten", "zoned": null, "ns": null},
    ]);
    let setting = Setting::scripted(sql, vec![Reply::value(&body)]);
    let output = setting.once_kept();
    let expected = json!({"tz": "10:00:00+02", "zoned": "10:00:00+00", "ns": "10:00:00.123456789"});
    assert_eq!(output.json_lines(), [expected], "{output}");
    let errors = setting.errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("ten"), "{errors:#?}");
}

#[test]
fn an_enum_column_takes_its_words_only() {
    let body = json!([{"side": "buy"}, {"side": "hold"}, {"side": "sell"}]);
    let (setting, rows) = load("side ENUM('buy', 'sell')", "", &body);
    assert_eq!(column(&rows, "side"), ["buy", "sell"].map(Value::from));
    assert_eq!(setting.errors().len(), 1);
}

#[test]
fn a_float_prints_as_the_shortest_text_that_reads_back() {
    let (setting, _) = load(
        "price FLOAT",
        "",
        &json!([{"price": 42576.504}, {"price": 0.1}]),
    );
    let output = setting.once_kept();
    let mut lines = output.stdout.lines();
    assert_eq!(
        (lines.next(), lines.next()),
        (Some(r#"{"price":42576.504}"#), Some(r#"{"price":0.1}"#)),
        "{output}"
    );
}

#[test]
fn an_array_is_flattened_one_level_and_jq_gives_rows() {
    let body = json!({"data": [{"id": 1}, {"id": 2}], "more": [[{"id": 3}], [{"id": 4}]]});
    let (_, rows) = load("id BIGINT", "jq = '.data, .more[]'", &body);
    assert_eq!(column(&rows, "id"), [1, 2, 3, 4].map(Value::from));
}

#[test]
fn one_bad_cell_is_set_aside_with_its_row_and_the_others_stay() {
    let body = json!([{"id": 1, "price": 1.0}, {"id": 2, "price": "n/a"}, {"id": 3, "price": 3.0}]);
    let (setting, rows) = load("id BIGINT, price DOUBLE", "", &body);
    assert_eq!(column(&rows, "id"), [1, 3].map(Value::from));
    let errors = setting.errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("price"), "{errors:#?}");
    let payload: Value = serde_json::from_str(&errors[0].payload).expect("the row as it came");
    assert_eq!(payload, json!({"id": 2, "price": "n/a"}));
}

#[test]
fn a_skipped_row_leaves_no_record() {
    let body = json!([{"id": 1}, {"id": "x"}, {"id": 3}]);
    let (setting, rows) = load("id BIGINT", "on_error = 'skip'", &body);
    assert_eq!(column(&rows, "id"), [1, 3].map(Value::from));
    assert_eq!(setting.errors(), []);
}

#[test]
fn a_row_that_must_fit_fails_its_poll() {
    let sql = "CREATE TABLE loaded (id BIGINT)
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h', on_error = 'fail');
        CREATE SINK printed FROM loaded WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![Reply::json(r#"[{"id": 1}, {"id": "x"}]"#)]);
    let output = setting.once_kept();
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(output.stdout, "");
    assert_eq!(setting.rows("FROM loaded").len(), 0);
    assert!(output.stderr.contains("on_error"), "{output}");
}

#[test]
fn an_expression_that_fails_for_one_row_sets_that_row_aside() {
    for (policy, recorded) in [("dead_letter", 1), ("skip", 0)] {
        let body = json!([{"id": 1, "raw": "10"}, {"id": 2, "raw": "ten"}, {"id": 3, "raw": "30"}]);
        let columns = "id BIGINT, raw STRING, number BIGINT AS (CAST(raw AS BIGINT) * 2)";
        let (setting, rows) = load(columns, &format!("on_error = '{policy}'"), &body);
        assert_eq!(
            column(&rows, "number"),
            [20, 60].map(Value::from),
            "{policy}"
        );
        let errors = setting.errors();
        assert_eq!(errors.len(), recorded, "{policy}: {errors:#?}");
        for error in errors {
            let payload: Value = serde_json::from_str(&error.payload).expect("the row as JSON");
            assert_eq!(payload, json!({"id": 2, "raw": "ten"}));
            assert!(error.message.contains("ten"), "{error:#?}");
        }
    }
}

#[test]
fn null_does_not_fit_a_not_null_column() {
    let body = json!([{"id": 1, "name": "a"}, {"id": 2}, {"id": 3, "name": "c"}]);
    let columns = "id BIGINT, name STRING NOT NULL, first STRING NOT NULL AS (nullif(name, 'c'))";
    let (setting, rows) = load(columns, "", &body);
    assert_eq!(column(&rows, "id"), [1].map(Value::from));
    let errors = setting.errors();
    assert_eq!(
        errors.len(),
        2,
        "a given and a generated column: {errors:#?}"
    );
}

#[test]
fn a_thousand_generated_columns_are_computed_side_by_side() {
    let generated: Vec<String> = (0..1200)
        .map(|n| format!("g{n} BIGINT AS (a + {n})"))
        .collect();
    let columns = format!(
        "a BIGINT, {}, last BIGINT AS (g1199 + g0)",
        generated.join(", ")
    );
    let (_, rows) = load(&columns, "", &json!([{"a": 1}, {"a": 2}]));
    assert_eq!(column(&rows, "g1199"), [1200, 1201].map(Value::from));
    assert_eq!(column(&rows, "last"), [1201, 1203].map(Value::from));
}

#[test]
fn generated_columns_build_on_each_other_and_on_the_trigger() {
    let columns = "a BIGINT, c BIGINT AS (b + 1), b BIGINT AS (a * 10), at_ms BIGINT AS (TRIGGER_EPOCH_TIME()), \
        alias_ms BIGINT AS (TRIGGER_TIME_EPOCH()), triggered TIMESTAMP AS (TRIGGER_TIME())";
    let (setting, rows) = load(columns, "", &json!([{"a": 1}, {"a": 2}]));
    assert_eq!(column(&rows, "c"), [11, 21].map(Value::from));
    let agree = setting.rows(
        "SELECT bool_and(at_ms = epoch_ms(triggered) AND alias_ms = at_ms) AS ok FROM loaded",
    );
    assert_eq!(agree, [json!({"ok": true})], "{rows:#?}");
}

#[test]
fn a_value_that_is_none_of_a_params_type_asks_nothing() {
    let setting = Setting::new(
        "CREATE SOURCE asking (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
         CREATE TEMP TABLE found ($id INT, name STRING) WITH (
             connector = 'lookup-http', url = '${URL}/names/$id');
         CREATE SINK printed FROM (SELECT a.id, f.name FROM asking a LEFT JOIN found f ON f.id = a.id)
             WITH (connector = 'stdout');",
    );
    let rows = json!([{"id": 1}, {"id": 3_000_000_000_i64}, {"id": 2}]);
    let server = &setting.server;
    server.script("/rows", vec![Reply::value(&rows)]);
    server.on("GET", "/names/*", |_| Reply::json(r#"[{"name": "x"}]"#));
    let output = setting.once().expect_code(0);
    let expected = [
        json!({"id": 1, "name": "x"}),
        json!({"id": 2, "name": "x"}),
        json!({"id": 3_000_000_000_i64, "name": null}),
    ];
    let mut printed = output.json_lines();
    printed.sort_by_key(|row| row["id"].as_i64());
    assert_rows(&printed, &expected, &output);
}
