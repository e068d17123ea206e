//! CREATE and DROP, while batches are in flight and while nothing runs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::owner::{Owner, PIPELINE};
use crate::support::binary::{Project, wait_until};

/// A fast source with views over it, so that there is always something in flight.
const BUSY: &str = "
CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate', rows_per_second = 20000);
CREATE TABLE kept (n BIGINT) WITH (connector = 'generate', rows_per_second = 100);
CREATE MATERIALIZED VIEW counted AS SELECT n % 10 AS digit, count(*) AS rows FROM kept GROUP BY ALL;
";

#[test]
fn what_statements_create_works_at_once_and_is_there_again() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    owner
        .connect()
        .run("CREATE MATERIALIZED VIEW big AS SELECT n FROM numbers WHERE n >= 5")
        .expect_message("created");
    owner.wait_for("SELECT count(*) = 5 AS ok FROM big");
    owner
        .connect()
        .run("CREATE VIEW bigger AS SELECT n FROM big WHERE n >= 8")
        .expect_message("created VIEW bigger");
    owner.wait_for("SELECT count(*) = 2 AS ok FROM bigger");
    owner
        .connect()
        .run("CREATE TABLE late (n BIGINT) WITH (connector = 'generate', rows = 7)")
        .expect_message("created TABLE late");
    owner.wait_for("SELECT count(*) = 7 AS ok FROM late");
    owner
        .connect()
        .run(
            "CREATE SINK out FROM big WITH (connector = 'file', path = 'out.json', changes = 'op')",
        )
        .expect_message("created SINK out");
    owner
        .connect()
        .run("CREATE VIEW big AS SELECT 1")
        .expect_error("`big` exists already");
    owner
        .connect()
        .run("CREATE TABLE IF NOT EXISTS late (n BIGINT) WITH (connector = 'generate')")
        .expect_message("exists");
    owner
        .connect()
        .run("CREATE VIEW wrong AS SELECT m FROM numbers")
        .expect_error("statement:1:");
    owner
        .connect()
        .run("CREATE OR REPLACE VIEW halves AS SELECT 1 AS half")
        .expect_error("comes from `p.sql`");
    owner.stop();

    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) = 5 AS ok FROM big");
    owner.wait_for("SELECT count(*) = 7 AS ok FROM late");
    let views = owner.rows("SHOW MATERIALIZED VIEWS");
    let origins: Vec<_> = views
        .iter()
        .map(|row| (&row[0], row.as_array().unwrap().last().unwrap()))
        .collect();
    assert_eq!(
        origins,
        [
            (&json!("total"), &json!("p.sql")),
            (&json!("big"), &json!("statement"))
        ]
    );
    owner
        .connect()
        .run("CREATE OR REPLACE MATERIALIZED VIEW big AS SELECT n FROM numbers WHERE n >= 9")
        .expect_message("replaced MATERIALIZED VIEW big");
    owner.wait_for("SELECT count(*) = 1 AS ok FROM big");
    owner.wait_for("SELECT count(*) = 1 AS ok FROM bigger");
    owner.stop();

    project.file("more.sql", "CREATE VIEW big AS SELECT 1 AS one");
    let clash = project
        .omlsp(["run", "p.sql", "more.sql", "--state-dir", "state"])
        .run()
        .expect_code(1);
    for text in [
        "`big` is defined by a file and by a statement",
        "more.sql:1:13",
        "created by a statement (big)",
    ] {
        assert!(clash.stderr.contains(text), "no `{text}` in {clash}");
    }
}

#[test]
fn what_was_created_and_fits_no_more_can_be_dropped() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let created = ["sql", "--state-dir", "state"];
    let sql = |sql| project.omlsp(created.into_iter().chain([sql])).run();
    let owner = Owner::start(&project);
    owner.stop();
    sql("CREATE VIEW quarters AS SELECT half / 2 AS quarter FROM halves").expect_code(0);
    project.file(
        "p.sql",
        PIPELINE.replace("SELECT half FROM", "SELECT n FROM"),
    );
    let run = [
        "run",
        "p.sql",
        "--state-dir",
        "state",
        "--replace",
        "--for",
        "1ms",
    ];
    let refused = project.omlsp(run).run().expect_code(1);
    for text in [
        "created by a statement (quarters)",
        "omlsp sql --state-dir 'state' 'DROP VIEW quarters'",
    ] {
        assert!(refused.stderr.contains(text), "no `{text}` in {refused}");
    }
    sql("DROP VIEW quarters").expect_code(0);
    // The other view over what has changed is of the same file.
    project.file("p.sql", "CREATE VIEW one AS SELECT 1 AS one;");
    project.omlsp(run).run().expect_code(0);
}

#[test]
fn entities_are_created_and_dropped_while_nothing_runs() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let sql = |sql: &str| {
        project
            .omlsp(["sql", "--state-dir", "state", "--format", "csv", sql])
            .run()
    };
    let created =
        sql("CREATE TABLE first (n BIGINT) WITH (connector = 'generate', rows = 3)").expect_code(0);
    assert!(created.stderr.contains("created TABLE first"), "{created}");
    sql("CREATE MATERIALIZED VIEW twice AS SELECT n * 2 AS m FROM first").expect_code(0);
    let refused = sql("DROP TABLE first").expect_code(1);
    assert!(
        refused.stderr.contains("`first` is needed by `twice`"),
        "{refused}"
    );
    let owner = Owner::start(&project);
    owner.wait_for("SELECT sum(m) = 6 AS ok FROM twice");
    owner.stop();
    let dropped = sql("DROP TABLE first CASCADE; SHOW TABLES").expect_code(0);
    assert!(
        dropped
            .stderr
            .contains("dropped MATERIALIZED VIEW twice\ndropped TABLE first\n"),
        "{dropped}"
    );
    assert!(!dropped.stdout.contains("first"), "{dropped}");
    let owner = Owner::start(&project);
    owner
        .connect()
        .run("SELECT * FROM twice")
        .expect_error("does not exist");
    owner.stop();
}

#[test]
fn drop_refuses_with_dependents_and_cascades_in_order() {
    let project = Project::new();
    project.file(
        "p.sql",
        format!(
            "{BUSY} CREATE VIEW a AS SELECT n FROM kept; CREATE MATERIALIZED VIEW b AS SELECT n FROM a; \
             CREATE SINK c FROM b WITH (connector = 'file', path = 'c.json');"
        ),
    );
    let owner = Owner::start(&project);
    let mut connection = owner.connect();
    connection
        .run("DROP TABLE kept")
        .expect_error("`kept` is needed by");
    connection
        .run("DROP VIEW a")
        .expect_error("`a` is needed by `c` and `b`");
    connection
        .run("DROP VIEW kept")
        .expect_error("`kept` is a TABLE, not a VIEW");
    connection
        .run("DROP SINK nothing")
        .expect_error("`nothing` does not exist");
    connection
        .run("DROP SINK IF EXISTS nothing")
        .expect_message("nothing was done");
    let answer = connection.run("DROP VIEW a CASCADE");
    let names: Vec<&str> = answer
        .messages
        .iter()
        .map(|text| text.split(';').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "dropped SINK c",
            "dropped MATERIALIZED VIEW b",
            "dropped VIEW a"
        ]
    );
    connection
        .run("SELECT * FROM b")
        .expect_error("`b` does not exist");
    connection
        .run("DROP TABLE kept CASCADE")
        .expect_message("dropped TABLE kept; it comes back at the next run");
    assert_eq!(
        connection.run("SHOW TABLES").expect_rows(),
        Vec::<serde_json::Value>::new()
    );
    // Nobody is left but the source, and then nobody: the run goes on until it is told to end.
    connection
        .run("DROP SOURCE ticks")
        .expect_message("dropped SOURCE ticks");
    assert_eq!(connection.run("SELECT 1").expect_rows(), [json!([1])]);
    owner.stop();
    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) > 0 AS ok FROM b");
    owner.stop();
}

/// The pipeline did not ask, so that nothing was made for it before.
#[test]
fn the_first_statement_may_ask_for_the_time() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE TABLE t (n BIGINT) WITH (connector = 'generate', rows_per_second = 10);",
    );
    let owner = Owner::start(&project);
    owner
        .connect()
        .run("CREATE VIEW v AS SELECT n, today() AS day FROM t")
        .expect_message("created");
    owner.wait_for("SELECT count(*) > 0 AND min(day) = current_date AS ok FROM v");
    owner.stop();
}

#[test]
fn a_thousand_times_created_and_dropped_while_batches_are_in_flight() {
    let project = Project::new();
    project.file("p.sql", BUSY);
    let owner = Owner::start(&project);
    let mut connection = owner.connect();
    let mut slowest = (Duration::ZERO, 0);
    for round in 0..1000 {
        let begun = Instant::now();
        let answer = match round % 3 {
            0 => connection.run(
                "CREATE MATERIALIZED VIEW v AS SELECT n % 7 AS k, count(*) AS c FROM kept GROUP BY ALL; \
                 DROP MATERIALIZED VIEW v",
            ),
            1 => connection.run(
                "CREATE TABLE extra (n BIGINT) WITH (connector = 'generate', rows_per_second = 50000); \
                 CREATE MATERIALIZED VIEW w AS SELECT n FROM extra WHERE n % 2 = 0; DROP TABLE extra CASCADE",
            ),
            _ => connection.run(&format!(
                "CREATE SINK s AS SELECT n FROM ticks WHERE n % 100 = 0 \
                 WITH (connector = 'file', path = 's{round}.json'); DROP SINK s"
            )),
        };
        assert!(
            answer.error.is_none() && answer.done,
            "round {round}: {answer:?}"
        );
        slowest = slowest.max((begun.elapsed(), round));
    }
    let left = connection
        .run("SELECT entity, stage, message FROM omlsp_errors")
        .expect_rows();
    assert_eq!(left, Vec::<serde_json::Value>::new());
    // What was there all the time has lost nothing.
    owner.wait_for("SELECT (SELECT sum(rows) FROM counted) >= 1 AND (SELECT max(n) + 1 = count(*) FROM kept) AS ok");
    assert_eq!(connection.run("SHOW TABLES").expect_rows().len(), 1);
    let output = owner.stop();
    assert!(
        !output.stderr.contains("WARN") && !output.stderr.contains("ERROR"),
        "the slowest round (time, number): {slowest:?}\n{output}"
    );
}

#[test]
fn a_file_sink_that_is_dropped_ends_its_file() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    owner
        .connect()
        .run("CREATE SINK out FROM ticks WITH (connector = 'file', path = 'out/out.json')")
        .expect_message("created");
    let rows_out = || owner.rows("SHOW SINKS")[0][3].as_u64().unwrap();
    wait_until(|| rows_out() >= 10, "some rows are written");
    owner
        .connect()
        .run("DROP SINK out")
        .expect_message("dropped");
    let names = std::fs::read_dir(project.path().join("out")).unwrap();
    let paths: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    let text = std::fs::read_to_string(&paths[0]).unwrap();
    assert!(text.lines().count() >= 10, "{text}");
    owner.stop();
}

#[test]
fn of_several_who_create_the_same_at_once_one_does_and_the_others_are_told() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    for round in 0..20 {
        let create = |value: i32| {
            let sql = format!("CREATE VIEW same{round} AS SELECT {value} AS x");
            owner.connect().run(&sql)
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|value| scope.spawn(move || create(value)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });
        let (made, told): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.error.is_none());
        assert_eq!(made.len(), 1, "{answers:?}");
        told.iter()
            .for_each(|answer| answer.expect_error("exists already"));
    }
    owner.stop();
}
