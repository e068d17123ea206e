//! The window table functions: which rows fall into which window, wherever a relation can stand.

use serde_json::{Value, json};

use super::setting::{Setting, assert_rows, sorted};
use crate::support::http::Reply;

/// Six rows, seven seconds apart from midnight on, of two kinds in turn.
const ROWS: &str = "CREATE TABLE t (n BIGINT, kind STRING AS (if(n % 2 = 0, 'even', 'odd')),
        ts TIMESTAMP AS (TIMESTAMP '2026-01-01' + to_seconds(n * 7)))
    WITH (connector = 'generate', rows = 6, batch.max_rows = 2);\n";

/// Runs `views` over the six rows and returns what a query gives of the state.
fn rows(views: &str, query: &str) -> Vec<Value> {
    let setting = Setting::new(&format!("{ROWS}{views}"));
    setting.once_kept().expect_code(0);
    setting.rows(query)
}

fn second(second: i64) -> String {
    format!(
        "2026-01-01 00:{:02}:{:02}",
        second.div_euclid(60),
        second % 60
    )
}

#[test]
fn tumble_gives_each_row_one_window() {
    let rows = rows(
        "CREATE MATERIALIZED VIEW w AS SELECT * FROM TUMBLE(t, ts, INTERVAL '10' SECOND);",
        "SELECT n, window_start::VARCHAR AS s, window_end::VARCHAR AS e FROM w ORDER BY n",
    );
    let expected = [0, 0, 10, 20, 20, 30].into_iter().enumerate();
    let expected: Vec<Value> = expected
        .map(|(n, start)| json!({"n": n, "s": second(start), "e": second(start + 10)}))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn hop_gives_each_row_every_window_that_covers_it() {
    let rows = rows(
        "CREATE MATERIALIZED VIEW w AS
            SELECT window_end, list(n ORDER BY n) AS n FROM HOP(t, ts, INTERVAL 10 SECOND, INTERVAL '20 seconds')
            GROUP BY window_start, window_end;",
        "SELECT window_end::VARCHAR AS e, n FROM w ORDER BY e",
    );
    let expected = [
        (10, vec![0, 1]),
        (20, vec![0, 1, 2]),
        (30, vec![2, 3, 4]),
        (40, vec![3, 4, 5]),
        (50, vec![5]),
    ];
    let expected = expected.map(|(end, n)| json!({"e": second(end), "n": n}));
    assert_rows(&rows, &expected, &"hop");
}

/// A month before March 30 is February 28, of which most windows are over by then.
#[test]
fn hop_of_months_gives_a_row_only_the_windows_that_cover_it() {
    let sql = "CREATE TABLE m (n BIGINT, ts TIMESTAMP AS (TIMESTAMP '2025-01-27 12:00:00' + to_hours(n * 7)))
            WITH (connector = 'generate', rows = 140);
        CREATE MATERIALIZED VIEW w AS SELECT n, window_start FROM HOP(m, m.ts, INTERVAL 5 HOUR, INTERVAL '1 month');";
    let setting = Setting::new(sql);
    setting.once_kept().expect_code(0);
    let wrong = "WITH covers AS (
            SELECT n, start AS window_start FROM m, generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '2025-04-01',
                INTERVAL 5 HOUR) AS starts(start)
            WHERE start > TIMESTAMP '2024-12-01' AND start <= ts AND start + INTERVAL '1 month' > ts)
        (FROM covers EXCEPT ALL FROM w) UNION ALL (FROM w EXCEPT ALL FROM covers)";
    assert_eq!(setting.rows(wrong), Vec::<Value>::new());
    let count = setting.rows("SELECT count(DISTINCT n) AS n FROM w WHERE month(window_start) = 2");
    assert!(count[0]["n"].as_i64() > Some(50), "{count:?}");
}

#[test]
fn session_ends_after_a_gap_of_its_key() {
    let views = "CREATE VIEW not_two AS SELECT * FROM t WHERE n <> 2;
        CREATE MATERIALIZED VIEW w AS
            SELECT kind, window_start, window_end, count(*) AS n
            FROM SESSION(not_two, ts, INTERVAL '15' SECOND, kind) GROUP BY ALL;
        CREATE MATERIALIZED VIEW all_kinds AS
            SELECT window_start, window_end, count(*) AS n FROM SESSION(not_two, ts, INTERVAL 7 SECOND) GROUP BY ALL;";
    let setting = Setting::new(&format!("{ROWS}{views}"));
    setting.once_kept().expect_code(0);
    let text = "window_start::VARCHAR AS s, window_end::VARCHAR AS e, n";
    let kept = setting.rows(&format!("SELECT kind, {text} FROM w ORDER BY kind, s"));
    let row = |kind: &str, start: i64, end: i64, n: i64| json!({"kind": kind, "s": second(start), "e": second(end), "n": n});
    let expected = [
        row("even", 0, 15, 1),
        row("even", 28, 43, 1),
        row("odd", 7, 50, 3),
    ];
    assert_eq!(kept, expected);
    // A row exactly the gap later begins a session of its own.
    let kept = setting.rows("SELECT count(*) AS sessions, max(n) AS n FROM all_kinds");
    assert_eq!(kept, [json!({"sessions": 5, "n": 1})]);
}

/// Rows of one time at the start of a session are as many, whichever of them the engine puts first.
#[test]
fn sessions_that_begin_with_several_rows_of_one_time_are_whole() {
    const MILLIS: [i64; 24] = [
        10500, 19000, 25000, 24000, 24500, 21000, 22000, 21000, 22500, 25000, 37000, 25000, 37000,
        41000, 39000, 41000, 41000, 44000, 47000, 49500, 48000, 50000, 51000, 47000,
    ];
    let instant = |millis: i64| format!("2026-01-01 00:00:{:06.3}", millis as f64 / 1000.0);
    let rows: Vec<_> = (MILLIS.iter())
        .map(|millis| json!({"ts": instant(*millis)}))
        .collect();
    let sql = "CREATE TABLE t (ts TIMESTAMP) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE MATERIALIZED VIEW w AS SELECT window_start, window_end, count(*) AS n
            FROM SESSION(t, ts, INTERVAL '3' SECOND) GROUP BY ALL;";
    let setting = Setting::scripted(sql, vec![Reply::value(&json!(rows))]);
    setting.once_kept().expect_code(0);
    let kept = setting.rows(
        "SELECT epoch_ms(window_start - TIMESTAMP '2026-01-01') AS s, \
         epoch_ms(window_end - TIMESTAMP '2026-01-01') AS e, n FROM w ORDER BY s",
    );
    let sessions = [
        (10500, 13500, 1),
        (19000, 28000, 10),
        (37000, 44000, 6),
        (44000, 47000, 1),
        (47000, 54000, 6),
    ];
    assert_eq!(
        kept,
        sessions.map(|(s, e, n)| json!({"s": s, "e": e, "n": n}))
    );
}

#[test]
fn window_functions_stand_wherever_a_relation_does() {
    let views = "CREATE VIEW v AS SELECT n, ts AS made_at FROM t WHERE n < 4;
        CREATE MATERIALIZED VIEW of_a_view AS SELECT v.n, v.window_end FROM TUMBLE(v, made_at, INTERVAL '1' MINUTE);
        CREATE MATERIALIZED VIEW of_a_cte AS
            WITH c AS (SELECT * FROM t WHERE kind = 'odd')
            SELECT c.n, x.window_start FROM TUMBLE(c, c.ts, INTERVAL '10' SECOND) AS x JOIN c USING (n);
        CREATE MATERIALIZED VIEW of_a_query AS
            SELECT count(*) AS n FROM TUMBLE((SELECT * FROM TUMBLE(t, ts, INTERVAL '10' SECOND)), ts, INTERVAL '10' SECOND);
        CREATE MATERIALIZED VIEW shifted AS
            SELECT min(window_start) AS first FROM TUMBLE(t, ts, INTERVAL '10' SECOND, INTERVAL '3' SECOND);";
    let setting = Setting::new(&format!("{ROWS}{views}"));
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0), "{output}");
    let numbers = setting.rows("SELECT n FROM of_a_view ORDER BY n");
    assert_eq!(numbers, [0, 1, 2, 3].map(|n| json!({"n": n})));
    let starts = setting.rows("SELECT n, window_start::VARCHAR AS s FROM of_a_cte");
    let expected = [(1, 0), (3, 20), (5, 30)].map(|(n, start)| json!({"n": n, "s": second(start)}));
    assert_eq!(sorted(starts), expected);
    assert_eq!(
        setting.rows("SELECT first::VARCHAR AS first FROM shifted"),
        [json!({"first": "2025-12-31 23:59:53"})]
    );
}

#[test]
fn select_of_a_window_runs_on_the_state() {
    let setting = Setting::new(ROWS);
    setting.once_kept().expect_code(0);
    let query = "SELECT window_start, count(*) AS n FROM TUMBLE(t, ts, INTERVAL '20' SECOND) GROUP BY 1 ORDER BY 1";
    let output = setting
        .project
        .omlsp(["sql", query, "--format", "csv"])
        .run()
        .expect_code(0);
    assert_eq!(output.stdout.lines().count(), 3, "{output}");
    let output = setting
        .project
        .omlsp([
            "sql",
            "SELECT * FROM TUMBLE(t, made_at, INTERVAL '20' SECOND)",
        ])
        .run()
        .expect_code(1);
    assert!(
        output.stderr.contains("column `made_at` does not exist"),
        "{output}"
    );
    assert!(
        output.stderr.contains(" ^^^^^^^"),
        "the caret is under the argument\n{output}"
    );
}
