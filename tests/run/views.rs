//! Views of every kind: what they hold, and what their readers get.

use serde_json::{Value, json};

use super::setting::{Setting, assert_rows, column, ids, sorted};
use crate::support::http::Reply;

const SOURCE: &str = "CREATE SOURCE s (id BIGINT, kind STRING AS (if(id % 2 = 0, 'even', 'odd')))
    WITH (connector = 'http', url = '${URL}/rows', interval = '1h');\n";

/// Polls ids 1 to 6 once through `views`, whose sinks print.
fn printed(views: &str) -> (Setting, Vec<Value>) {
    let setting = Setting::scripted(&format!("{SOURCE}{views}"), vec![ids(1..=6)]);
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0), "{output}");
    let rows = output.json_lines();
    (setting, rows)
}

#[test]
fn views_of_views_of_a_source() {
    let (_, rows) = printed(
        "CREATE VIEW big AS SELECT id, kind FROM s WHERE id > 2;
        CREATE VIEW big_even AS SELECT id * 10 AS tens FROM big WHERE kind = 'even';
        CREATE SINK p FROM big_even WITH (connector = 'stdout');",
    );
    assert_eq!(column(&rows, "tens"), [40, 60].map(Value::from));
}

#[test]
fn union_all_of_two_sources() {
    let sql = "CREATE SOURCE a (id BIGINT) WITH (connector = 'http', url = '${URL}/a', interval = '1h');
        CREATE TABLE b (id BIGINT) WITH (connector = 'http', url = '${URL}/b', interval = '1h');
        CREATE VIEW union_of_both AS SELECT id, 'a' AS origin FROM a UNION ALL SELECT id, 'b' FROM b;
        CREATE SINK p FROM union_of_both WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    setting.server.script("/a", vec![ids(1..=2)]);
    setting.server.script("/b", vec![ids(2..=3)]);
    let output = setting.once().expect_code(0);
    let row = |id: i64, origin: &str| json!({"id": id, "origin": origin});
    let expected = vec![row(1, "a"), row(2, "a"), row(2, "b"), row(3, "b")];
    assert_rows(&sorted(output.json_lines()), &sorted(expected), &output);
}

#[test]
fn unnest_cte_and_subquery() {
    let (_, rows) = printed(
        "CREATE VIEW u AS
            WITH pairs AS (SELECT id, [id, id * 100] AS list FROM s WHERE id <= 2)
            SELECT id, unnest(list) AS value FROM (SELECT * FROM pairs);
        CREATE SINK p FROM u WITH (connector = 'stdout');",
    );
    assert_eq!(column(&rows, "value"), [1, 100, 2, 200].map(Value::from));
}

#[test]
fn a_pivot_of_listed_values() {
    let views = "CREATE MATERIALIZED VIEW kinds AS
        SELECT * FROM (PIVOT (SELECT id, kind FROM s) ON kind IN ('even', 'none') USING sum(id)::BIGINT AS ids);";
    let (setting, _) = printed(views);
    let expected = json!({"even_ids": 12, "none_ids": null});
    assert_eq!(setting.rows("FROM kinds"), [expected]);
}

#[test]
fn a_view_that_reads_nothing_is_evaluated_once() {
    let sql = "CREATE VIEW one AS SELECT 1 AS one, 'x' AS text;
        CREATE SINK p FROM one WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::new(sql);
    let output = setting.once_kept().expect_code(0);
    assert_eq!(
        output.json_lines(),
        [json!({"op": "insert", "one": 1, "text": "x"})],
        "{output}"
    );
    let output = setting.once_kept().expect_code(0);
    assert_eq!(output.stdout, "", "nothing has changed since");
}

#[test]
fn a_window_function_is_computed_over_everything() {
    let views = "CREATE MATERIALIZED VIEW steps AS SELECT id, id - lag(id) OVER (ORDER BY id) AS step FROM s;
        CREATE SINK p FROM steps WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::scripted(&format!("{SOURCE}{views}"), vec![ids([1, 5]), ids([3])]);
    setting.once_kept().expect_code(0);
    let output = setting.once_kept().expect_code(0);
    let kept = setting.rows("FROM steps ORDER BY id");
    let row = |id: i64, step: Value| json!({"id": id, "step": step});
    assert_eq!(
        kept,
        [row(1, Value::Null), row(3, json!(2)), row(5, json!(2))]
    );
    let change = |op: &str, id: i64, step: i64| json!({"op": op, "id": id, "step": step});
    let lines = output.json_lines();
    assert_eq!(lines[0], change("delete", 5, 4), "deletes first\n{output}");
    let rest = sorted(lines[1..].to_vec());
    assert_rows(
        &rest,
        &[change("insert", 3, 2), change("insert", 5, 2)],
        &output,
    );
}

#[test]
fn a_materialized_view_over_a_materialized_view() {
    let views = "CREATE MATERIALIZED VIEW per_kind AS SELECT kind, count(*) AS n, max(id) AS last FROM s GROUP BY kind;
        CREATE MATERIALIZED VIEW overall AS SELECT count(*) AS kinds, sum(n)::BIGINT AS n FROM per_kind;
        CREATE MATERIALIZED VIEW filtered AS SELECT kind, last FROM per_kind WHERE n > 1;
        CREATE SINK p FROM filtered WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::scripted(
        &format!("{SOURCE}{views}"),
        vec![ids([1, 2, 3]), ids([4, 5])],
    );
    let first = setting.once_kept().expect_code(0);
    assert_rows(
        &first.json_lines(),
        &[json!({"op": "insert", "kind": "odd", "last": 3})],
        &first,
    );
    let second = setting.once_kept().expect_code(0);
    let expected = vec![
        json!({"op": "delete", "kind": "odd", "last": 3}),
        json!({"op": "insert", "kind": "even", "last": 4}),
        json!({"op": "insert", "kind": "odd", "last": 5}),
    ];
    assert_eq!(second.json_lines()[0], expected[0], "{second}");
    assert_rows(&sorted(second.json_lines()), &sorted(expected), &second);
    assert_eq!(setting.rows("FROM overall"), [json!({"kinds": 2, "n": 5})]);
}

#[test]
fn an_aggregate_counts_everything_ever_delivered() {
    let views = "CREATE MATERIALIZED VIEW m AS
            SELECT kind, count(*) AS n, sum(id)::BIGINT AS total, avg(id) AS mean, min(id) AS low, max(id) AS high,
                count(DISTINCT id) AS different
            FROM s GROUP BY kind HAVING count(*) > 1;";
    let setting = Setting::scripted(
        &format!("{SOURCE}{views}"),
        vec![ids([1, 2, 3, 3]), ids([5, 4]), ids([])],
    );
    for _ in 0..3 {
        setting.once_kept().expect_code(0);
    }
    let expected = [
        json!({"kind": "even", "n": 2, "total": 6, "mean": 3.0, "low": 2, "high": 4, "different": 2}),
        json!({"kind": "odd", "n": 4, "total": 12, "mean": 3.0, "low": 1, "high": 5, "different": 3}),
    ];
    assert_rows(&setting.rows("FROM m ORDER BY kind"), &expected, &"");
}

#[test]
fn a_join_of_two_relations_sees_old_rows_of_both() {
    let sql = "CREATE TABLE trades (id BIGINT, symbol STRING)
            WITH (connector = 'http', url = '${URL}/trades', interval = '1h');
        CREATE TABLE markets (symbol STRING PRIMARY KEY, fee DOUBLE)
            WITH (connector = 'http', url = '${URL}/markets', interval = '1h');
        CREATE MATERIALIZED VIEW fees AS SELECT t.id, m.fee FROM trades t JOIN markets m USING (symbol);
        CREATE MATERIALIZED VIEW unknown AS
            SELECT t.id FROM trades t LEFT JOIN markets m USING (symbol) WHERE m.symbol IS NULL;";
    let setting = Setting::new(sql);
    let trade = |id: i64, symbol: &str| json!({"id": id, "symbol": symbol});
    let trades = |rows: Vec<Value>| Reply::value(&Value::Array(rows));
    setting.server.script(
        "/trades",
        vec![
            trades(vec![trade(1, "A"), trade(2, "B")]),
            trades(vec![trade(3, "A"), trade(4, "C")]),
        ],
    );
    let markets = vec![
        Reply::json(r#"[{"symbol": "A", "fee": 0.1}]"#),
        Reply::json(r#"[{"symbol": "A", "fee": 0.2}, {"symbol": "B", "fee": 0.3}]"#),
    ];
    setting.server.script("/markets", markets);
    setting.once_kept().expect_code(0);
    assert_eq!(setting.rows("FROM fees"), [json!({"id": 1, "fee": 0.1})]);
    setting.once_kept().expect_code(0);
    let row = |id: i64, fee: f64| json!({"id": id, "fee": fee});
    assert_eq!(
        setting.rows("FROM fees ORDER BY id"),
        [row(1, 0.2), row(2, 0.3), row(3, 0.2)]
    );
    assert_eq!(setting.rows("FROM unknown"), [json!({"id": 4})]);
}

#[test]
fn a_sink_takes_a_relation_a_query_in_parentheses_or_as() {
    let (_, rows) = printed(
        "CREATE SINK a FROM s WITH (connector = 'stdout');
        CREATE SINK b FROM (SELECT id AS b FROM s WHERE id = 1) WITH (connector = 'stdout');
        CREATE SINK c AS SELECT id AS c FROM s WHERE id = 2 WITH (connector = 'stdout');",
    );
    assert_eq!(rows.len(), 8, "{rows:#?}");
    assert!(
        rows.contains(&json!({"b": 1})) && rows.contains(&json!({"c": 2})),
        "{rows:#?}"
    );
    assert!(rows.contains(&json!({"id": 1, "kind": "odd"})), "{rows:#?}");
}

#[test]
fn a_sink_with_an_aggregate_of_its_own_gets_changes() {
    let views = "CREATE SINK p FROM (SELECT kind, count(*) AS n FROM s GROUP BY kind)
        WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::scripted(&format!("{SOURCE}{views}"), vec![ids([1, 2]), ids([3])]);
    setting.once_kept().expect_code(0);
    let output = setting.once_kept().expect_code(0);
    let change = |op: &str, n: i64| json!({"op": op, "kind": "odd", "n": n});
    assert_rows(
        &output.json_lines(),
        &[change("delete", 1), change("insert", 2)],
        &output,
    );
}

#[test]
fn a_new_sink_gets_the_rows_already_there_unless_told_not_to() {
    let table = "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');\n";
    let setting = Setting::scripted(table, vec![ids([1, 2]), ids([3])]);
    setting.once_kept().expect_code(0);
    setting.pipeline(&format!(
        "{table}
        CREATE SINK everything FROM (SELECT id AS everything FROM t) WITH (connector = 'stdout');
        CREATE SINK new_only FROM (SELECT id AS new_only FROM t) WITH (connector = 'stdout', snapshot = 'false');"
    ));
    let output = setting.once_kept().expect_code(0);
    let rows = output.json_lines();
    let of =
        |name: &str| -> Vec<i64> { rows.iter().filter_map(|row| row[name].as_i64()).collect() };
    assert_eq!(of("everything"), [1, 2, 3], "{output}");
    assert_eq!(of("new_only"), [3], "{output}");
}

#[test]
fn a_new_materialized_view_holds_the_rows_already_there() {
    let table = "CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h');\n";
    let row = |id: i64, v: i64| json!({"id": id, "v": v});
    let polls = vec![
        Reply::value(&json!([row(1, 1), row(2, 2)])),
        Reply::value(&json!([row(1, 10), row(3, 3)])),
        Reply::value(&json!([row(2, 20)])),
    ];
    let setting = Setting::scripted(table, polls);
    setting.once_kept().expect_code(0);
    setting.once_kept().expect_code(0);
    setting.pipeline(&format!(
        "{table}
        CREATE MATERIALIZED VIEW doubled AS SELECT id, v * 2 AS v FROM t;
        CREATE MATERIALIZED VIEW total AS SELECT sum(v)::BIGINT AS v FROM t;"
    ));
    setting.once_kept().expect_code(0);
    let doubled = setting.rows("FROM doubled ORDER BY id");
    assert_eq!(doubled, [row(1, 20), row(2, 40), row(3, 6)]);
    assert_eq!(setting.rows("FROM total"), [json!({"v": 33})]);
}

#[test]
fn distinct_limit_except_and_order_are_what_their_query_says() {
    let views = "CREATE MATERIALIZED VIEW d AS SELECT DISTINCT kind FROM s;
        CREATE MATERIALIZED VIEW top AS SELECT id FROM s ORDER BY id DESC LIMIT 2;
        CREATE MATERIALIZED VIEW rest AS SELECT id FROM s EXCEPT SELECT id FROM top;";
    let setting = Setting::scripted(&format!("{SOURCE}{views}"), vec![ids([1, 3]), ids([2, 5])]);
    setting.once_kept().expect_code(0);
    setting.once_kept().expect_code(0);
    assert_eq!(
        column(&setting.rows("FROM d ORDER BY kind"), "kind"),
        ["even", "odd"].map(Value::from)
    );
    assert_eq!(
        column(&setting.rows("FROM top ORDER BY id"), "id"),
        [3, 5].map(Value::from)
    );
    assert_eq!(
        column(&setting.rows("FROM rest ORDER BY id"), "id"),
        [1, 2].map(Value::from)
    );
}

#[test]
fn names_need_no_case_and_quotes_keep_theirs() {
    let sql = "CREATE SOURCE \"My Source\" (\"Order Id\" BIGINT, \"select\" STRING)
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE VIEW \"a \"\"quoted\"\" view\" AS SELECT \"order id\", \"SELECT\" FROM \"my source\";
        CREATE MATERIALIZED VIEW \"group\" AS SELECT \"select\", count(*) AS \"count\" FROM \"MY SOURCE\" GROUP BY 1;
        CREATE SINK p FROM \"A \"\"quoted\"\" view\" WITH (connector = 'stdout');";
    let setting = Setting::scripted(
        sql,
        vec![Reply::json(r#"[{"Order Id": 1, "select": "x"}]"#)],
    );
    let output = setting.once_kept().expect_code(0);
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    assert_eq!(
        setting.rows("FROM \"group\""),
        [json!({"select": "x", "count": 1})]
    );
}
