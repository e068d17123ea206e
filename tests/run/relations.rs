//! Tables with a key, requests with parameters, sources that generate.

use serde_json::{Value, json};

use super::setting::{Setting, column, ids};
use crate::support::http::Reply;

const KEYED: &str = "CREATE TABLE prices (symbol STRING, price DOUBLE, PRIMARY KEY (symbol))
        WITH (connector = 'http', url = '${URL}/rows', interval = '20ms', retry.max_attempts = 1);
    CREATE SINK printed FROM prices WITH (connector = 'stdout', changes = 'op');";

fn prices(rows: &[(&str, f64)]) -> Reply {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(symbol, price)| json!({"symbol": symbol, "price": price}))
        .collect();
    Reply::value(&Value::Array(rows))
}

#[test]
fn a_key_keeps_its_latest_row_and_changes_come_deletes_first() {
    let script = vec![
        prices(&[("A", 1.0), ("B", 2.0), ("A", 3.0)]),
        // Nothing changes here: no line may come of it.
        prices(&[("B", 2.0), ("A", 3.0)]),
        prices(&[("A", 4.0), ("C", 5.0)]),
        prices(&[("A", 4.0)]),
    ];
    let setting = Setting::scripted(KEYED, script);
    let mut running = setting.run([]).spawn();
    running.wait_until(|_| setting.server.count_of("/rows") >= 6, "six polls");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let lines = output.json_lines();
    let change =
        |op: &str, symbol: &str, price: f64| json!({"op": op, "symbol": symbol, "price": price});
    assert_eq!(lines.len(), 5, "{output}");
    assert!(
        lines[..2].contains(&change("insert", "A", 3.0))
            && lines[..2].contains(&change("insert", "B", 2.0))
    );
    assert_eq!(
        lines[2],
        change("delete", "A", 3.0),
        "deletes first\n{output}"
    );
    assert!(
        lines[3..].contains(&change("insert", "A", 4.0))
            && lines[3..].contains(&change("insert", "C", 5.0))
    );
    let kept = setting.rows("FROM prices ORDER BY symbol");
    let row = |symbol: &str, price: f64| json!({"symbol": symbol, "price": price});
    assert_eq!(kept, [row("A", 4.0), row("B", 2.0), row("C", 5.0)]);
}

#[test]
fn a_key_of_several_columns_and_null_in_a_key() {
    let sql = "CREATE TABLE k (a STRING, b BIGINT, v BIGINT, PRIMARY KEY (a, b))
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h');";
    let body = json!([
        {"a": "x", "b": 1, "v": 1}, {"a": "x", "b": 2, "v": 2}, {"a": "x", "b": 1, "v": 3}, {"a": null, "b": 1, "v": 4},
    ]);
    let setting = Setting::scripted(sql, vec![Reply::value(&body)]);
    setting.once_kept().expect_code(0);
    let rows = setting.rows("FROM k ORDER BY a, b");
    assert_eq!(
        rows,
        [
            json!({"a": "x", "b": 1, "v": 3}),
            json!({"a": "x", "b": 2, "v": 2})
        ]
    );
    assert_eq!(setting.errors().len(), 1, "a key is not NULL");
}

#[test]
fn intervals_that_are_equal_and_not_the_same_are_a_change() {
    let sql = "CREATE TABLE k (a BIGINT PRIMARY KEY, i INTERVAL)
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h');";
    let reply = |i: &str| Reply::value(&json!([{"a": 1, "i": i}]));
    let setting = Setting::scripted(sql, vec![reply("30 days"), reply("1 month")]);
    setting.once_kept().expect_code(0);
    setting.once_kept().expect_code(0);
    let rows = setting.rows("SELECT (TIMESTAMP '2024-01-31' + i)::DATE AS d FROM k");
    assert_eq!(rows, [json!({"d": "2024-02-29"})]);
}

/// What has changed is followed by queries that meet rows which the view's own never does: those that have gone, pairs
/// of old and new ones, and those that a condition leaves out.
#[test]
fn a_view_does_not_fail_over_rows_that_its_query_does_not_fail_over() {
    let sql = "CREATE TABLE t (id BIGINT, x INTEGER, w INTEGER, s STRING, PRIMARY KEY (id))
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE MATERIALIZED VIEW products AS SELECT a.id, a.x * b.w AS y FROM t AS a JOIN t AS b ON a.id = b.id;
        CREATE MATERIALIZED VIEW guarded AS
            SELECT a.id, b.id AS other FROM t AS a LEFT JOIN t AS b ON b.s = '1' AND a.id = b.s::INTEGER;
        CREATE SOURCE events (n BIGINT, id BIGINT AS (n + 1)) WITH (connector = 'generate', rows = 2);
        CREATE MATERIALIZED VIEW counted AS SELECT q.id, q.c, t.w FROM (SELECT id, count(*) AS c FROM events GROUP BY id) AS q
            LEFT JOIN t ON t.s = '1' AND q.id = t.s::INTEGER;
        CREATE MATERIALIZED VIEW numbers AS SELECT id, s::INTEGER AS n FROM t;";
    let reply = |x: i64, w: i64, s: &str| {
        Reply::value(&json!([
            {"id": 1, "x": x, "w": w, "s": "1"}, {"id": 2, "x": 1, "w": 1, "s": s},
        ]))
    };
    let (first, second) = (reply(100_000, 1, "x"), reply(1, 100_000, "2"));
    let setting = Setting::scripted(sql, vec![first, second.clone(), second]);
    let products = "FROM products ORDER BY id";
    let pairs = "FROM guarded ORDER BY id";
    let (kept, matched) = (
        [json!({"id": 1, "y": 100_000}), json!({"id": 2, "y": 1})],
        [
            json!({"id": 1, "other": 1}),
            json!({"id": 2, "other": null}),
        ],
    );
    let counts = |w: i64| {
        [
            json!({"id": 1, "c": 1, "w": w}),
            json!({"id": 2, "c": 1, "w": null}),
        ]
    };
    let failed = setting.once_kept().expect_code(1);
    assert_eq!(setting.rows("FROM counted ORDER BY id"), counts(1));
    assert!(
        failed.stderr.contains("`x`") || failed.stderr.contains("'x'"),
        "{failed}"
    );
    assert_eq!(setting.rows(products), kept);
    assert_eq!(setting.rows(pairs), matched);
    // `numbers` fails until the poll has brought the row anew.
    let healed = setting.once_kept();
    assert!(healed.stderr.contains("evaluated as a whole"), "{healed}");
    assert_eq!(setting.rows(products), kept);
    assert_eq!(setting.rows(pairs), matched);
    setting.once_kept().expect_code(0);
    assert_eq!(setting.rows("FROM counted ORDER BY id"), counts(100_000));
    let numbers = [json!({"id": 1, "n": 1}), json!({"id": 2, "n": 2})];
    assert_eq!(setting.rows("FROM numbers ORDER BY id"), numbers);
}

#[test]
fn a_table_without_a_key_keeps_every_row() {
    let sql = "CREATE TABLE all_rows (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');";
    let setting = Setting::scripted(sql, vec![ids([1, 1]), ids([1, 2])]);
    setting.once_kept().expect_code(0);
    setting.once_kept().expect_code(0);
    let rows = setting.rows("FROM all_rows ORDER BY id");
    assert_eq!(column(&rows, "id"), [1, 1, 1, 2].map(Value::from));
}

#[test]
fn a_source_keeps_its_latest_batch_only() {
    let sql = "CREATE SOURCE passing (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n, sum(id)::BIGINT AS total FROM passing;";
    let setting = Setting::scripted(sql, vec![ids([1, 2]), ids([3])]);
    setting.once_kept().expect_code(0);
    setting.once_kept().expect_code(0);
    assert_eq!(
        column(&setting.rows("FROM passing"), "id"),
        [3].map(Value::from)
    );
    assert_eq!(setting.rows("FROM seen"), [json!({"n": 3, "total": 6})]);
}

#[test]
fn a_source_of_many_rows_keeps_types_and_goes_on_after_a_stop() {
    let sql = "CREATE SOURCE passing (id BIGINT, price DECIMAL(18, 4) AS (id / 4), tags STRING[] AS ([id]),
                body JSON AS (to_json({id: id})), side ENUM('buy', 'sell') AS ('sell'))
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h', pagination.type = 'page-based',
                pagination.page_param = 'page');
        CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n, sum(id)::BIGINT AS total FROM passing;
        CREATE SINK printed FROM (SELECT id FROM passing) WITH (connector = 'stdout');";
    let many = 1..=25_000;
    let pages = vec![
        ids(1..=24_990),
        ids(24_991..=25_000),
        ids([]),
        ids([25_001]),
        ids([]),
    ];
    let setting = Setting::scripted(sql, pages);
    let types = "SELECT DISTINCT typeof(price) AS p, typeof(tags) AS t, typeof(body) AS b, typeof(side) AS s FROM passing";
    let expected =
        json!({"p": "DECIMAL(18,4)", "t": "VARCHAR[]", "b": "JSON", "s": "ENUM('buy', 'sell')"});
    let first = setting.once_kept().expect_code(0);
    assert_eq!(first.stdout.lines().count(), many.clone().count());
    assert_eq!(setting.rows(types), std::slice::from_ref(&expected));
    let kept = setting.rows("SELECT count(*) AS n, max(id) AS last FROM passing");
    assert_eq!(kept, [json!({"n": 10, "last": 25_000})]);

    let second = setting.once_kept().expect_code(0);
    assert_eq!(second.stdout, "{\"id\":25001}\n");
    assert_eq!(setting.rows(types), [expected]);
    let (n, total) = (25_001, many.sum::<i64>() + 25_001);
    assert_eq!(setting.rows("FROM seen"), [json!({"n": n, "total": total})]);
}

#[test]
fn parameters_and_headers_are_sent_without_pagination_too() {
    let sql = "CREATE SOURCE s (id BIGINT) WITH (
            connector = 'http', url = '${URL}/rows?fixed=1', interval = '1h',
            params.symbol = 'A&B =c', params.limit = '5', headers.X-Tag = 'omlsp',
        );";
    let setting = Setting::scripted(sql, vec![ids([1])]);
    setting.once().expect_code(0);
    let request = setting.server.last_request();
    assert_eq!(
        request.param("symbol"),
        Some("A&B =c"),
        "{}",
        request.raw_query
    );
    assert_eq!(
        (request.param("limit"), request.param("fixed")),
        (Some("5"), Some("1"))
    );
    assert_eq!(request.header("X-Tag"), Some("omlsp"));
}

#[test]
fn a_body_of_json_is_posted() {
    let sql = "CREATE SOURCE s (id BIGINT) WITH (
            connector = 'http', url = '${URL}/rows', interval = '1h', method = 'POST',
            json.query.symbol = 'BTC', json.limit = '5',
        );
        CREATE SINK printed FROM s WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([1])]);
    let output = setting.once().expect_code(0);
    let request = setting.server.last_request();
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.body_json(),
        json!({"query": {"symbol": "BTC"}, "limit": 5})
    );
    assert_eq!(output.stdout, "{\"id\":1}\n");
}

#[test]
fn generated_rows_are_the_same_in_every_run() {
    let sql = |seed: u32| {
        format!(
            "CREATE SOURCE made (n BIGINT, seed BIGINT, price DOUBLE AS (100 + hash(n, seed) % 1000 / 100.0))
                WITH (connector = 'generate', rows = 20000, seed = {seed});
            CREATE SINK printed FROM made WITH (connector = 'stdout');"
        )
    };
    let first = Setting::new(&sql(1)).once().expect_code(0);
    assert_eq!(first.stdout.lines().count(), 20_000);
    let numbers: Vec<Value> = (0..20_000).map(Value::from).collect();
    assert_eq!(column(&first.json_lines(), "n"), numbers);
    assert!(
        first.stdout == Setting::new(&sql(1)).once().stdout,
        "the same seed gave other rows"
    );
    assert!(
        first.stdout != Setting::new(&sql(2)).once().stdout,
        "another seed gave the same rows"
    );
}

#[test]
fn generated_columns_are_what_they_say_whatever_their_names_are() {
    let sql = "CREATE TABLE t (N BIGINT AS (42), seed VARCHAR AS ('x')) WITH (connector = 'generate', rows = 3);";
    let setting = Setting::new(sql);
    setting.once_kept().expect_code(0);
    let row = json!({"N": 42, "seed": "x"});
    assert_eq!(setting.rows("FROM t"), [row.clone(), row.clone(), row]);
}

#[test]
fn generated_rows_are_not_made_again_after_a_restart() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 5000, batch.max_rows = 100);
        CREATE SINK printed FROM made WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let first = setting.once_kept().expect_code(0);
    assert_eq!(first.stdout.lines().count(), 5000);
    let second = setting.once_kept().expect_code(0);
    assert_eq!(second.stdout, "", "{}", second.stderr);
    assert_eq!(
        setting.rows("SELECT count(*) AS n FROM made"),
        [json!({"n": 5000})]
    );
}
