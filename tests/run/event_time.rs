//! Watermarks, late rows, and views that give each window once.

use std::time::Duration;

use serde_json::{Value, json};

use super::setting::{Setting, column, sorted};
use crate::support::http::Reply;

/// Rows that come out of order by up to 20 seconds, of which the watermarks wait for 6 and 12.
const STREAMS: &str =
    "CREATE TABLE t (n BIGINT, seed BIGINT, kind BIGINT AS (n % 3), price BIGINT AS (hash(n, seed) % 100),
        ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(n * 3 + (hash(n, seed) % 20)::BIGINT)),
        WATERMARK FOR ts AS ts - INTERVAL '6' SECOND)
    WITH (connector = 'generate', rows = 200, seed = 1, batch.max_rows = 7);
    CREATE SOURCE u (n BIGINT, seed BIGINT, kind BIGINT AS (n % 3),
        at_time TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(n * 7 + (hash(n, seed) % 20)::BIGINT)),
        WATERMARK FOR at_time AS at_time - INTERVAL '12' SECOND)
    WITH (connector = 'generate', rows = 90, seed = 2, batch.max_rows = 5);
    CREATE VIEW cheap AS SELECT *, price * 2 AS twice FROM t WHERE price < 70;
    CREATE MATERIALIZED VIEW passed_on AS SELECT kind AS k, at_time AS seen FROM u WHERE n % 4 <> 0;\n";

/// Queries whose windows close, each in another way.
const QUERIES: &[&str] = &[
    // Grouped by the window, with and without it among the columns.
    "SELECT window_start, kind, count(*) AS n, sum(price) AS s FROM TUMBLE(t, ts, INTERVAL '10' SECOND) GROUP BY window_start, kind",
    "SELECT kind, max(price) AS high FROM TUMBLE(t, ts, INTERVAL '1' MINUTE) GROUP BY kind, window_start, window_end HAVING count(*) > 2",
    "SELECT window_end, count(DISTINCT kind) AS kinds FROM HOP(t, ts, INTERVAL '10' SECOND, INTERVAL '35' SECOND) GROUP BY ALL",
    "SELECT kind, window_start, window_end, count(*) AS n FROM SESSION(t, ts, INTERVAL '7' SECOND, kind) GROUP BY ALL",
    "SELECT date_trunc('minute', ts) AS minute, min(price) AS low FROM t GROUP BY minute",
    "SELECT time_bucket(INTERVAL '20 seconds', ts) AS part, n FROM t",
    "SELECT ts, count(*) AS n FROM t GROUP BY ts",
    // Over views, CTEs, subqueries, and other materialized views.
    "SELECT window_start, sum(twice) AS s FROM TUMBLE(cheap, ts, INTERVAL '15' SECOND) GROUP BY 1",
    "WITH c(a, b, w) AS (SELECT kind, price, window_end FROM TUMBLE(t, ts, INTERVAL '15' SECOND)) SELECT w, avg(b) AS m FROM c WHERE a > 0 GROUP BY w",
    "SELECT k, window_start, count(*) AS n FROM TUMBLE(passed_on, seen, INTERVAL '30' SECOND) GROUP BY k, window_start",
    "SELECT DISTINCT kind, window_start FROM TUMBLE(u, at_time, INTERVAL '1' MINUTE)",
    "SELECT window_start, kind FROM TUMBLE(t, ts, INTERVAL '10' SECOND) UNION ALL SELECT window_start, kind + 10 FROM TUMBLE(u, at_time, INTERVAL '10' SECOND)",
    // Ranked within the window; joined with another stream by it.
    "SELECT window_start, n, rank() OVER (PARTITION BY window_start ORDER BY price DESC, n) AS place FROM TUMBLE(t, ts, INTERVAL '10' SECOND)",
    "SELECT window_start, n FROM TUMBLE(t, ts, INTERVAL '20' SECOND) QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY price, n) = 1",
    "SELECT a.window_start, a.kind, count(*) AS n FROM TUMBLE(t, ts, INTERVAL '20' SECOND) AS a
        JOIN TUMBLE(u, at_time, INTERVAL '20' SECOND) AS b ON a.window_start = b.window_start AND a.kind = b.kind GROUP BY 1, 2",
    "SELECT a.n, b.n AS other FROM TUMBLE(t, ts, INTERVAL '20' SECOND) AS a
        LEFT JOIN TUMBLE(u, at_time, INTERVAL '20' SECOND) AS b ON a.window_start = b.window_start AND a.kind = b.kind",
    "SELECT window_end, x.n, high FROM (SELECT window_end, kind, count(*) AS n FROM HOP(t, ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) GROUP BY ALL) AS x
        JOIN (SELECT window_end, max(price) AS high FROM HOP(t, ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) GROUP BY ALL) AS y USING (window_end)",
];

/// Rows 7 and 11 hours apart over the ends of months.
const MONTHS: &str = "CREATE TABLE m (n BIGINT, ts TIMESTAMP AS (TIMESTAMP '2025-01-28' + to_hours(n * 7)),
        WATERMARK FOR ts AS ts)
    WITH (connector = 'generate', rows = 240, batch.max_rows = 2);
    CREATE TABLE l (n BIGINT, ts TIMESTAMP AS (TIMESTAMP '2025-02-24' + to_hours(n * 11)), WATERMARK FOR ts AS ts)
    WITH (connector = 'generate', rows = 120, batch.max_rows = 3);\n";

/// Queries whose windows are months, or are months away.
const QUERIES_OF_MONTHS: &[&str] = &[
    "SELECT window_start, window_end, count(*) AS n FROM TUMBLE(m, ts, INTERVAL '1' MONTH) GROUP BY ALL",
    "SELECT window_end, count(*) AS n FROM HOP(m, ts, INTERVAL '1' DAY, INTERVAL '1' MONTH) GROUP BY ALL",
    "SELECT window_end, count(*) AS n FROM HOP(m, ts, INTERVAL '5' HOUR, INTERVAL '1 month') GROUP BY ALL",
    "SELECT date_trunc('hour', ts + INTERVAL '1 month') AS hour, count(*) AS n FROM m GROUP BY 1",
    "SELECT date_trunc('day', ts - INTERVAL '1 month') AS day, count(*) AS n FROM m GROUP BY 1",
    "SELECT ts - INTERVAL '1 month' + INTERVAL '1 month 1 day 2 hours' AS due, count(*) AS n FROM m GROUP BY 1",
    "SELECT window_start + INTERVAL '1 month' AS due, count(*) AS n FROM TUMBLE(m, ts, INTERVAL '1' DAY) GROUP BY 1",
];

#[test]
fn closed_windows_are_what_the_query_gives_in_the_end() {
    let setting = closed_beside_whole(STREAMS, QUERIES);
    let late = setting.rows("SELECT count(*) AS n FROM omlsp_errors WHERE stage = 'late'");
    assert!(late[0]["n"].as_i64() > Some(0), "some rows are late");
}

/// Months are of different length, and days that one does not have are taken for its last.
#[test]
fn windows_of_months_are_what_the_query_gives_in_the_end() {
    closed_beside_whole(MONTHS, QUERIES_OF_MONTHS);
}

/// Runs queries with and without `EMIT ON WINDOW CLOSE`, and asserts that both give the same.
fn closed_beside_whole(streams: &str, queries: &[&str]) -> Setting {
    let mut sql = streams.to_owned();
    for (number, query) in queries.iter().enumerate() {
        sql.push_str(&format!(
            "CREATE MATERIALIZED VIEW closed_{number} AS {query} EMIT ON WINDOW CLOSE;
            CREATE MATERIALIZED VIEW whole_{number} AS {query};\n"
        ));
    }
    let setting = Setting::new(&sql);
    setting.once_kept().expect_code(0);
    for (number, query) in queries.iter().enumerate() {
        for (one, other) in [("closed", "whole"), ("whole", "closed")] {
            let rows = setting.rows(&format!(
                "FROM {one}_{number} EXCEPT ALL FROM {other}_{number}"
            ));
            assert_eq!(rows, Vec::<Value>::new(), "in {one} alone\n{query}");
        }
        let count = setting.rows(&format!("SELECT count(*) AS n FROM closed_{number}"));
        assert!(count[0]["n"].as_i64() > Some(3), "{query}");
    }
    setting
}

/// Joins of `t` and `u` by the distance of their times, with the same in DuckDB's terms over all rows.
const JOINS: &[&str] = &[
    "SELECT a.n, b.n AS other FROM t AS a JOIN u AS b ON a.kind = b.kind
        AND a.ts BETWEEN b.at_time - INTERVAL '5' SECOND AND b.at_time + INTERVAL '10' SECOND",
    "SELECT a.price, b.kind FROM u AS b, cheap AS a
        WHERE b.at_time > a.ts AND b.at_time - INTERVAL '8' SECOND <= a.ts AND a.kind <> b.kind",
    "SELECT a.n, b.n AS other FROM t AS a JOIN u AS b ON a.ts = b.at_time",
    "SELECT a.n, x.seen FROM t AS a JOIN (SELECT n, at_time + INTERVAL '3' SECOND AS seen FROM u WHERE n % 5 > 0) AS x
        ON date_trunc('minute', a.ts) = date_trunc('minute', x.seen)",
];

#[test]
fn interval_joins_give_every_pair_once_and_free_what_can_meet_nobody() {
    let mut sql = STREAMS.to_owned();
    sql.push_str("CREATE MATERIALIZED VIEW every_u AS SELECT * FROM u;\n");
    for (number, query) in JOINS.iter().enumerate() {
        sql.push_str(&format!(
            "CREATE MATERIALIZED VIEW joined_{number} AS {query};\n"
        ));
    }
    sql.push_str(
        "CREATE SINK out AS SELECT a.n, b.n AS other FROM t AS a JOIN u AS b ON a.kind = b.kind
            AND a.ts BETWEEN b.at_time - INTERVAL '5' SECOND AND b.at_time + INTERVAL '10' SECOND
        WITH (connector = 'stdout');",
    );
    let setting = Setting::new(&sql);
    let output = setting.once_kept().expect_code(0);
    for (number, query) in JOINS.iter().enumerate() {
        let whole = format!("WITH u AS (FROM every_u) {query}");
        let joined = format!("FROM joined_{number}");
        for (one, other) in [(&joined, &whole), (&whole, &joined)] {
            let rows = setting.rows(&format!("({one}) EXCEPT ALL ({other})"));
            assert_eq!(rows, Vec::<Value>::new(), "in\n{one}\nalone");
        }
        let count = setting.rows(&format!("SELECT count(*) AS n FROM joined_{number}"));
        assert!(count[0]["n"].as_i64() > Some(5), "{query}");
    }
    let count = setting.rows("SELECT count(*)::BIGINT AS n FROM joined_0");
    assert_eq!(json!(output.stdout.lines().count()), count[0]["n"]);
    assert_eq!(
        setting.rows("SELECT count(*) AS n FROM data.u"),
        [json!({"n": 5})]
    );
    let graph = setting
        .project
        .omlsp(["graph", "pipeline.sql"])
        .run()
        .expect_code(0);
    let how = "joined from each new batch and the rows of the other side that the watermark keeps";
    assert_eq!(
        graph.stdout.matches(how).count(),
        JOINS.len() + 1,
        "{graph}"
    );
}

#[test]
fn joins_by_a_distance_of_months_give_every_pair_once() {
    const JOINS: &[&str] = &[
        "SELECT a.n, b.n AS other FROM l AS a JOIN m AS b ON b.ts >= a.ts - INTERVAL '1 month'
            AND b.ts <= a.ts - INTERVAL '1 month' + INTERVAL '3' HOUR",
        "SELECT a.n, b.n AS other FROM l AS a JOIN m AS b
            ON a.ts BETWEEN b.ts + INTERVAL '1 month' - INTERVAL '2' HOUR AND b.ts + INTERVAL '1 month 1 day'",
        "SELECT a.n, b.n AS other FROM l AS a JOIN m AS b
            ON date_trunc('day', a.ts - INTERVAL '1 month') = date_trunc('day', b.ts)",
    ];
    let mut sql = MONTHS.to_owned();
    for (number, query) in JOINS.iter().enumerate() {
        sql.push_str(&format!(
            "CREATE MATERIALIZED VIEW joined_{number} AS {query};\n"
        ));
    }
    let setting = Setting::new(&sql);
    setting.once_kept().expect_code(0);
    for (number, query) in JOINS.iter().enumerate() {
        let joined = format!("FROM joined_{number}");
        for (one, other) in [(&*joined, *query), (*query, &*joined)] {
            let rows = setting.rows(&format!("({one}) EXCEPT ALL ({other})"));
            assert_eq!(rows, Vec::<Value>::new(), "in\n{one}\nalone");
        }
        let count = setting.rows(&format!("SELECT count(*) AS n FROM joined_{number}"));
        assert!(count[0]["n"].as_i64() > Some(20), "{query}");
    }
}

#[test]
fn an_asof_join_is_what_duckdb_gives_over_all_rows() {
    let query = "SELECT a.n, b.n AS other FROM t AS a ASOF LEFT JOIN every_u AS b ON a.kind = b.kind AND a.ts >= b.at_time";
    let sql = format!(
        "{STREAMS}CREATE MATERIALIZED VIEW every_u AS SELECT * FROM u;
        CREATE MATERIALIZED VIEW latest AS {query};"
    );
    let setting = Setting::new(&sql);
    setting.once_kept().expect_code(0);
    for (one, other) in [("FROM latest", query), (query, "FROM latest")] {
        let rows = setting.rows(&format!("({one}) EXCEPT ALL ({other})"));
        assert_eq!(rows, Vec::<Value>::new(), "in\n{one}\nalone");
    }
    let graph = setting
        .project
        .omlsp(["graph", "pipeline.sql"])
        .run()
        .expect_code(0);
    assert!(
        graph
            .stdout
            .contains("because it has an ASOF join of streams"),
        "{graph}"
    );
}

/// A source that a test feeds, with the time of each row in seconds after midnight.
const FED: &str = "CREATE SOURCE s (id BIGINT, second BIGINT, ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(second)),
        WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
    WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
    CREATE MATERIALIZED VIEW w AS
        SELECT window_start, count(*) AS n FROM TUMBLE(s, ts, INTERVAL '10' SECOND) GROUP BY window_start EMIT ON WINDOW CLOSE;
    CREATE SINK out AS SELECT id, window_end FROM TUMBLE(s, ts, INTERVAL '10' SECOND)
        EMIT ON WINDOW CLOSE WITH (connector = 'stdout');\n";

fn rows(rows: &[(i64, i64)]) -> Reply {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(id, second)| json!({"id": id, "second": second}))
        .collect();
    Reply::value(&Value::Array(rows))
}

#[test]
fn a_window_closes_when_the_watermark_reaches_its_end() {
    let replies = vec![
        rows(&[(1, 1), (2, 9), (3, 14)]),
        rows(&[(4, 9), (5, 15), (6, 8)]),
        rows(&[(7, 9), (8, 10), (9, 16)]),
        rows(&[(10, 100)]),
    ];
    let setting = Setting::scripted(FED, replies);
    let printed = |expected: &[i64]| {
        let output = setting.once_kept().expect_code(0);
        assert_eq!(
            sorted(column(&output.json_lines(), "id")),
            sorted(expected.iter().map(|id| json!(id)).collect()),
            "{output}"
        );
    };
    // The watermark is 9, short of the first window's end; a polled source has not ended with its poll.
    printed(&[]);
    // It is 10 now. Row 6 was late when it came, row 4 was not.
    printed(&[1, 2, 4]);
    // Row 7 belongs to a window that is closed, row 8 does not.
    printed(&[]);
    printed(&[3, 5, 8, 9]);
    assert_eq!(
        setting.rows(
            "SELECT epoch(window_start - TIMESTAMP '2026-01-01')::BIGINT AS s, n FROM w ORDER BY s"
        ),
        [json!({"s": 0, "n": 3}), json!({"s": 10, "n": 4})]
    );
    let errors = setting.errors();
    let late: Vec<Value> = (errors.iter().filter(|error| error.stage == "late"))
        .map(|error| serde_json::from_str(&error.payload).expect("the row is kept as JSON"))
        .collect();
    assert_eq!(column(&late, "id"), [6, 7].map(Value::from));
    assert_eq!(errors[0].entity, "s");
}

#[test]
fn a_window_of_a_month_closes_when_the_month_ends() {
    let sql = "CREATE TABLE s (ts TIMESTAMP, WATERMARK FOR ts AS ts)
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE SINK out AS SELECT window_end, count(*) AS n FROM HOP(s, ts, INTERVAL '1' MONTH, INTERVAL '2' MONTH)
            GROUP BY window_end EMIT ON WINDOW CLOSE WITH (connector = 'stdout');";
    let rows = |rows: &[&str]| {
        let rows: Vec<Value> = rows.iter().map(|ts| json!({"ts": ts})).collect();
        Reply::value(&Value::Array(rows))
    };
    let replies = vec![
        rows(&["2025-01-31T12:00:00Z", "2025-02-28T23:59:59Z"]),
        rows(&["2025-03-01T00:00:00Z"]),
    ];
    let setting = Setting::scripted(sql, replies);
    let printed = |expected: &[Value]| {
        let output = setting.once_kept().expect_code(0);
        assert_eq!(output.json_lines(), expected, "{output}");
    };
    printed(&[json!({"window_end": "2025-02-01T00:00:00Z", "n": 1})]);
    printed(&[json!({"window_end": "2025-03-01T00:00:00Z", "n": 2})]);
}

/// The column by which windows are known beside those of the query takes no name of the query's own.
#[test]
fn a_window_closes_whatever_the_columns_are_called() {
    let sql = "CREATE TABLE t (n BIGINT, _closing_ BIGINT AS (n % 2), ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_hours(n * 7)),
            WATERMARK FOR ts AS ts)
        WITH (connector = 'generate', rows = 20, batch.max_rows = 3);
        CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n, 5 AS _Closing, max(_closing_) AS other
            FROM TUMBLE(t, ts, INTERVAL '1' DAY) GROUP BY window_start EMIT ON WINDOW CLOSE;";
    let setting = Setting::new(sql);
    setting.once_kept().expect_code(0);
    assert_eq!(
        setting.rows(
            "SELECT sum(n)::BIGINT AS n, min(_closing) AS closing, max(other) AS other FROM w"
        ),
        [json!({"n": 20, "closing": 5, "other": 1})]
    );
}

#[test]
fn a_sink_without_a_snapshot_gets_the_windows_that_close_from_then_on() {
    let table = "CREATE TABLE s (id BIGINT, second BIGINT, ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(second)),
            WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h');";
    let sink = "CREATE SINK out AS SELECT window_start, count(*) AS n FROM TUMBLE(s, ts, INTERVAL '10' SECOND)
        GROUP BY window_start EMIT ON WINDOW CLOSE WITH (connector = 'stdout', snapshot = 'false');";
    let replies = vec![rows(&[(1, 1), (2, 2), (3, 16)]), rows(&[(4, 17), (5, 25)])];
    let setting = Setting::scripted(table, replies);
    setting.once_kept().expect_code(0);
    setting.pipeline(&format!("{table}{sink}"));
    let output = setting.once_kept().expect_code(0);
    // The first window was closed before the sink was there; of the second it counts every row.
    assert_eq!(
        output.json_lines(),
        [json!({"window_start": "2026-01-01T00:00:10Z", "n": 2})],
        "{output}"
    );
}

#[test]
fn an_idle_source_does_not_hold_windows_of_others() {
    let sql = "CREATE SOURCE slow (id BIGINT, ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(id)),
            WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
        WITH (connector = 'http', url = '${URL}/rows', interval = '100ms', watermark.idle_timeout = '500ms');
        CREATE SOURCE steady (n BIGINT, ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(n)),
            WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
        WITH (connector = 'generate', rows_per_second = 200);
        CREATE SINK out AS
            SELECT window_start, count(*) AS n
            FROM TUMBLE((SELECT ts FROM slow UNION ALL SELECT ts FROM steady), ts, INTERVAL '10' SECOND)
            GROUP BY window_start EMIT ON WINDOW CLOSE WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let silent = Reply::value(&json!([]));
    let late = Reply::value(&json!([{"id": 2}]));
    let replies = std::iter::once(Reply::value(&json!([{"id": 1}])))
        .chain(std::iter::repeat_n(silent.clone(), 15))
        .chain([late, silent]);
    setting.server.script("/rows", replies.collect());
    let mut running = setting.run([]).spawn();
    running.wait_until(
        |running| running.stdout_line_count() >= 2,
        "windows close without the source that is idle",
    );
    let recorded =
        "SELECT count(*) AS n FROM omlsp_errors WHERE stage = 'late' AND entity = 'out result'";
    running.wait_until(
        |_| setting.server.count_of("/rows") > 18,
        "the idle source wakes",
    );
    std::thread::sleep(Duration::from_millis(200));
    running.interrupt();
    let output = running.wait().expect_code(0);
    let first = &output.json_lines()[0];
    assert_eq!(first["n"], 11, "ten of the one, one of the other\n{output}");
    // What the idle source brings for a window that is closed is set aside.
    assert_eq!(setting.rows(recorded), [json!({"n": 1})]);
}

#[test]
fn windows_are_whole_and_there_once_after_kills() {
    let sql = "CREATE SOURCE s (n BIGINT, ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_milliseconds(n * 10 + (hash(n) % 900)::BIGINT)),
            WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
        WITH (connector = 'generate', rows = 60000, rows_per_second = 20000, batch.max_rows = 500);
        CREATE MATERIALIZED VIEW w AS
            SELECT window_start, count(*) AS n, sum(n) AS total FROM TUMBLE(s, ts, INTERVAL '5' SECOND)
            GROUP BY window_start EMIT ON WINDOW CLOSE;
        CREATE MATERIALIZED VIEW again AS
            SELECT window_start, sum(n)::BIGINT AS n FROM TUMBLE((SELECT window_start AS began, n FROM w), began, INTERVAL '1' MINUTE)
            GROUP BY window_start EMIT ON WINDOW CLOSE;";
    let setting = Setting::new(sql);
    for pause_ms in [300, 450, 600, 350, 500] {
        let mut running = setting.run([]).spawn();
        running.wait_for_stderr("running");
        std::thread::sleep(Duration::from_millis(pause_ms));
        running.kill_if_running();
    }
    setting.once_kept().expect_code(0);
    let whole = "SELECT time_bucket(INTERVAL '5' SECOND, ts) AS window_start, count(*) AS n, sum(n) AS total
        FROM (SELECT n, TIMESTAMP '2026-01-01' + to_milliseconds(n * 10 + (hash(n) % 900)::BIGINT) AS ts FROM range(60000) AS r(n)) GROUP BY 1";
    for (one, other) in [("FROM w", whole), (whole, "FROM w")] {
        let rows = setting.rows(&format!("({one}) EXCEPT ALL ({other})"));
        assert_eq!(rows, Vec::<Value>::new(), "in\n{one}\nalone");
    }
    let sum = "SELECT sum(n)::BIGINT AS n FROM again";
    assert_eq!(setting.rows(sum), [json!({"n": 60000})]);
    // The rows of closed windows are gone: the latest batch is what SELECT reads.
    let kept = setting.rows("SELECT count(*) AS n FROM data.s");
    assert!(kept[0]["n"].as_i64() <= Some(500), "{kept:?}");
}
