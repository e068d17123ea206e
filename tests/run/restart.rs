//! Runs over a state that is there already: going on, changed definitions, a crash in between.

use serde_json::{Value, json};

use super::setting::{Setting, column, ids, sorted};
use crate::support::http::{Reply, Request};

const TABLE: &str =
    "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');\n";

/// Rows after the cursor `after`, two a page, up to `last`; the answer includes the cursor's own row.
fn page(request: &Request, last: i64) -> Reply {
    let after = request
        .param("after")
        .map_or(1, |text| text.parse().expect("a cursor is a number"));
    ids(after..=last.min(after + 2))
}

#[test]
fn a_restart_doubles_no_row_and_prints_none_again() {
    let sql = format!("{TABLE}CREATE SINK p FROM t WITH (connector = 'stdout');");
    let setting = Setting::scripted(&sql, vec![ids([1, 2]), ids([3])]);
    let first = setting.once_kept().expect_code(0);
    assert_eq!(column(&first.json_lines(), "id"), [1, 2].map(Value::from));
    let second = setting.once_kept().expect_code(0);
    assert_eq!(column(&second.json_lines(), "id"), [3].map(Value::from));
    assert_eq!(setting.rows("FROM t").len(), 3);
}

#[test]
fn a_cursor_goes_on_after_a_restart() {
    let sql = "CREATE TABLE t (id BIGINT PRIMARY KEY) WITH (
            connector = 'http', url = '${URL}/rows', interval = '1h',
            pagination.type = 'cursor-based', pagination.cursor_param = 'after',
        );
        CREATE SINK p FROM t WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::new(sql);
    setting
        .server
        .on("GET", "/rows", |request| page(request, 5));
    let first = setting.once_kept().expect_code(0);
    assert_eq!(
        column(&sorted(first.json_lines()), "id"),
        [1, 2, 3, 4, 5].map(Value::from),
        "{first}"
    );
    let asked = setting.server.request_count();
    setting
        .server
        .on("GET", "/rows", |request| page(request, 7));
    let second = setting.once_kept().expect_code(0);
    assert_eq!(
        column(&sorted(second.json_lines()), "id"),
        [6, 7].map(Value::from),
        "{second}"
    );
    let requests = setting.server.requests();
    let resumed = &requests[usize::try_from(asked).unwrap()];
    assert_eq!(resumed.param("after"), Some("5"));
}

#[test]
fn a_killed_run_is_as_if_it_had_been_paused() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 300000, batch.max_rows = 1000);
        CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(n)::BIGINT AS s, count(DISTINCT n) AS d FROM made;
        CREATE MATERIALIZED VIEW even AS SELECT n FROM made WHERE n % 2 = 0;
        CREATE SINK p FROM even WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let mut printed: Vec<i64> = Vec::new();
    let numbers = |text: &str| -> Vec<i64> {
        let values = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.filter_map(|row| row["n"].as_i64()).collect()
    };
    for _ in 0..5 {
        let mut running = setting.run([]).spawn();
        running.wait_until(|running| running.stdout_line_count() >= 5000, "some rows");
        printed.extend(numbers(&running.kill().stdout));
    }
    printed.extend(numbers(&setting.once_kept().expect_code(0).stdout));
    let n = 300_000_i64;
    let expected = json!({"n": n, "s": n * (n - 1) / 2, "d": n});
    assert_eq!(setting.rows("FROM total"), [expected]);
    assert_eq!(
        setting.rows("SELECT count(*) AS n, count(DISTINCT n) AS d FROM even"),
        [json!({"n": n / 2, "d": n / 2})]
    );
    printed.sort_unstable();
    printed.dedup();
    assert!(
        printed.into_iter().eq((0..n).step_by(2)),
        "a change was never delivered"
    );
}

#[test]
fn a_changed_definition_is_refused_with_the_difference() {
    let setting = Setting::scripted(TABLE, vec![ids([1]), ids([2]), ids([3])]);
    setting.once_kept().expect_code(0);
    setting.pipeline(&TABLE.replace("id BIGINT", "id BIGINT, twice BIGINT AS (id * 2)"));
    let output = setting.once_kept().expect_code(1);
    assert_eq!(setting.server.request_count(), 1, "nothing was started");
    for part in [
        "- CREATE TABLE t (id BIGINT)",
        "+ CREATE TABLE t (id BIGINT, twice",
        "--replace",
        "pipeline.sql",
    ] {
        assert!(output.stderr.contains(part), "`{part}`\n{output}");
    }
    assert_eq!(
        setting.rows("FROM t"),
        [json!({"id": 1})],
        "and nothing was touched"
    );
    setting.run(["--once", "--replace"]).run().expect_code(0);
    assert_eq!(
        setting.rows("FROM t"),
        [json!({"id": 2, "twice": 4})],
        "rebuilt"
    );
}

#[test]
fn spaces_and_comments_are_no_change() {
    let setting = Setting::scripted(TABLE, vec![ids([1]), ids([2])]);
    setting.once_kept().expect_code(0);
    let moved = TABLE
        .replace("connector", "\n    connector")
        .replace("interval", "/* often */ interval");
    setting.pipeline(&format!("-- About t.\n\n{moved}"));
    let output = setting.once_kept().expect_code(0);
    assert_eq!(setting.rows("FROM t").len(), 2, "{output}");
}

#[test]
fn replace_rebuilds_what_depends_on_the_changed_one() {
    let rest = "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t;
        CREATE SINK p FROM m WITH (connector = 'stdout', changes = 'op');
        CREATE TABLE other (id BIGINT) WITH (connector = 'http', url = '${URL}/other', interval = '1h');";
    let setting = Setting::scripted(&format!("{TABLE}{rest}"), vec![ids([1, 2]), ids([3])]);
    setting.server.script("/other", vec![ids([1])]);
    setting.once_kept().expect_code(0);
    setting.pipeline(&format!("{}{rest}", TABLE.replace("BIGINT", "INTEGER")));
    let plan = setting.run(["--replace", "--plan"]).run().expect_code(0);
    let steps: Vec<&str> = plan.stdout.lines().collect();
    for part in [
        "replace  table t",
        "replace  materialized view m",
        "replace  sink p",
        "resume   table other",
    ] {
        assert!(
            steps.iter().any(|step| step.starts_with(part)),
            "`{part}`\n{plan}"
        );
    }
    assert_eq!(setting.server.count_of("/rows"), 1, "a plan does nothing");
    let output = setting.run(["--once", "--replace"]).run().expect_code(0);
    assert_eq!(
        output.json_lines().last(),
        Some(&json!({"op": "insert", "n": 1})),
        "{output}"
    );
    assert_eq!(setting.rows("FROM other").len(), 2);
}

#[test]
fn a_plan_tells_what_would_happen_and_does_nothing() {
    let setting = Setting::scripted(TABLE, vec![ids([1])]);
    let plan = setting.run(["--plan"]).run().expect_code(0);
    assert_eq!(plan.stdout, "create   table t\n");
    assert_eq!(setting.server.request_count(), 0);
    setting.once_kept().expect_code(0);
    assert_eq!(
        setting.run(["--plan"]).run().expect_code(0).stdout,
        "resume   table t\n"
    );
    setting.pipeline("");
    let plan = setting.run(["--plan"]).run().expect_code(0);
    assert!(plan.stdout.starts_with("drop     table t"), "{plan}");
    assert_eq!(setting.rows("FROM t").len(), 1);
}

#[test]
fn what_a_run_was_not_given_is_not_dropped() {
    let setting = Setting::scripted(TABLE, vec![ids([1]), ids([2])]);
    let other = "CREATE TABLE other (n BIGINT) WITH (connector = 'generate', rows = 3);";
    setting.project.file("other.sql", other);
    setting.once_kept().expect_code(0);
    let other_alone = |more: &[&'static str]| {
        let args = ["run", "other.sql", "--once"].into_iter();
        let args = args.chain(more.iter().copied());
        setting.project.omlsp(args).run()
    };
    let refused = other_alone(&[]).expect_code(1);
    let part = "the state has `t` of `pipeline.sql`, which this run was not given";
    assert!(refused.stderr.contains(part), "{refused}");
    assert_eq!(setting.rows("FROM t").len(), 1);
    setting.run(["other.sql", "--once"]).run().expect_code(0);
    assert_eq!(setting.rows("FROM t").len(), 2);
    // A file that is gone is no such file, and one that another has taken over says so.
    let path = setting.project.path();
    std::fs::rename(path.join("pipeline.sql"), path.join("moved.sql")).unwrap();
    let moved = setting
        .project
        .omlsp(["run", "moved.sql", "other.sql", "--once"]);
    moved.env("URL", setting.server.url()).run().expect_code(0);
    let origins = setting.rows("SELECT origin FROM omlsp.entity WHERE name = 't'");
    assert_eq!(column(&origins, "origin"), ["moved.sql"].map(Value::from));
    std::fs::remove_file(path.join("moved.sql")).unwrap();
    other_alone(&[]).expect_code(0);
    let names = setting.rows("SELECT name FROM omlsp.entity");
    assert_eq!(column(&names, "name"), ["other"].map(Value::from));
    // Whoever wants it says so.
    setting.pipeline(TABLE);
    setting.run(["--once", "--replace"]).run().expect_code(0);
    let names = setting.rows("SELECT name FROM omlsp.entity");
    assert_eq!(column(&names, "name"), ["t"].map(Value::from));
}

#[test]
fn an_entity_that_vanished_from_its_file_is_dropped() {
    let gone = "CREATE MATERIALIZED VIEW gone AS SELECT count(*) AS n FROM t;
        CREATE SINK gone_too FROM gone WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::scripted(&format!("{TABLE}{gone}"), vec![ids([1]), ids([2])]);
    setting.once_kept().expect_code(0);
    setting.pipeline(TABLE);
    let output = setting.once_kept().expect_code(0);
    assert_eq!(output.stdout, "");
    let names = setting.rows("SELECT name FROM omlsp.entity ORDER BY name");
    assert_eq!(column(&names, "name"), ["t"].map(Value::from));
    let tables =
        setting.rows("SELECT count(*) AS n FROM duckdb_tables() WHERE table_name LIKE '%gone%'");
    assert_eq!(tables, [json!({"n": 0})]);
    assert_eq!(setting.rows("FROM t").len(), 2);
}

#[test]
fn a_source_is_kept_for_a_reader_that_is_behind() {
    let sql = "CREATE SOURCE s (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE SINK h FROM s WITH (connector = 'http', url = '${URL}/hook', retry.max_attempts = 1);";
    let setting = Setting::scripted(sql, vec![ids([1]), ids([2]), ids([3])]);
    setting.server.script("/hook", vec![Reply::status(503)]);
    for polled in ["1", "2"] {
        let mut running = setting.run(["--drain-timeout", "100ms"]).spawn();
        let asked = setting.server.count_of("/hook");
        running.wait_until(
            |_| setting.server.count_of("/hook") > asked,
            "the sink was tried",
        );
        // The sink may have been tried with the row of the run before: the stop must not come amid the poll.
        running.wait_until(
            |_| {
                let query = ["sql", "SELECT id FROM s", "--format", "csv"];
                let latest = setting.project.omlsp(query).run();
                latest.stdout.lines().last() == Some(polled)
            },
            "the poll is committed",
        );
        running.interrupt();
        running.wait().expect_code(0);
    }
    let failed = setting.server.count_of("/hook");
    setting.server.script("/hook", vec![Reply::status(200)]);
    setting.once_kept().expect_code(0);
    let later: Vec<Value> = (setting.server.requests_of("/hook")[failed..].iter())
        .map(|request| request.body_json()["id"].clone())
        .collect();
    assert_eq!(later, [1, 2, 3].map(Value::from));
}
