//! Statements given to a pipeline, with the real binary: through the socket of its owner and over the state
//! it left.

#[path = "commands/changes.rs"]
mod changes;
#[path = "commands/clients.rs"]
mod clients;
#[path = "commands/live.rs"]
mod live;
#[path = "commands/owner.rs"]
mod owner;
#[path = "commands/restarts.rs"]
mod restarts;
#[path = "commands/secrets.rs"]
mod secrets;
#[path = "commands/shell.rs"]
mod shell;
mod support;

use owner::{Owner, PIPELINE};
use support::binary::Project;

/// The same questions get the same answers whether somebody runs the pipeline or not.
fn check_answers(project: &Project, state: &str) {
    let sql = |format: &str, sql: &str| {
        let args = ["sql", "--state-dir", "state", "--format", format, sql];
        project.omlsp(args).run().expect_code(0)
    };
    let query =
        "SELECT n, half, CASE WHEN n > 1 THEN 'it''s' END AS word FROM numbers ORDER BY n LIMIT 3";
    assert_eq!(
        sql("json", query).stdout,
        "{\"n\":0,\"half\":0.0,\"word\":null}\n{\"n\":1,\"half\":0.5,\"word\":null}\n{\"n\":2,\"half\":1.0,\"word\":\"it's\"}\n"
    );
    assert_eq!(
        sql("csv", query).stdout,
        "n,half,word\n0,0.0,\n1,0.5,\n2,1.0,it's\n"
    );
    assert_eq!(
        sql("table", query).stdout,
        "┌───┬──────┬──────┐\n\
         │ n ┆ half ┆ word │\n\
         ╞═══╪══════╪══════╡\n\
         │ 0 ┆  0.0 ┆ NULL │\n\
         │ 1 ┆  0.5 ┆ NULL │\n\
         │ 2 ┆  1.0 ┆ it's │\n\
         └───┴──────┴──────┘\n"
    );
    let show = |what: &[&str]| {
        let args = ["show"]
            .iter()
            .chain(what)
            .chain(&["--state-dir", "state", "--format", "json"]);
        project
            .omlsp(args.copied())
            .run()
            .expect_code(0)
            .json_lines()
    };
    let tables = show(&["tables"]);
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!(tables[0]["name"], "numbers");
    assert_eq!(tables[0]["rows"], 10);
    assert_eq!(tables[0]["state"], state);
    assert_eq!(tables[0]["origin"], "p.sql");
    for what in [&["materialized", "views"][..], &["materialized-views"]] {
        assert_eq!(show(what)[0]["name"], "total");
    }
    assert_eq!(show(&["views"])[0]["name"], "halves");
    assert_eq!(show(&["sources"])[0]["name"], "ticks");
    assert_eq!(show(&["lookups"]).len(), 0);
    assert_eq!(show(&["errors"]).len(), 0);
    let described = sql(
        "csv",
        "DESCRIBE numbers; SHOW CREATE VIEW halves; EXPLAIN FROM total",
    )
    .stdout;
    let expected = "column,type,note\n\
        n,BIGINT,primary key\n\
        half,DOUBLE,AS (n / 2)\n\n\
        name,definition\n\
        halves,CREATE VIEW halves AS SELECT half FROM numbers\n\n\
        entity,reads,how\n\
        query,total,\"evaluated once, over what there is; as a view: maintained from each new batch alone\"\n\
        total,halves,\"materialized view, maintained by what changes: groups keep accumulators\"\n\
        halves,numbers,\"view, evaluated inside its readers\"\n\
        numbers,,\"table, the latest row per key (n)\"\n";
    assert_eq!(described, expected);
}

#[test]
fn answers_are_the_same_with_and_without_an_owner() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) = 10 AS ok FROM numbers");
    owner.wait_for("SELECT total = 22.5 AS ok FROM total");
    // Its source has given its ten rows.
    check_answers(&project, "finished");
    owner.stop();
    check_answers(&project, "stopped");
}

#[test]
fn a_bare_state_dir_is_the_default_one() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE TABLE t (n BIGINT) WITH (connector = 'generate', rows = 2)",
    );
    project
        .omlsp(["run", "p.sql", "--state-dir"])
        .run()
        .expect_code(0);
    for args in [
        &["show", "tables"][..],
        &["show", "tables", "--state-dir"],
        &["sql", "SHOW TABLES", "--state-dir", ".omlsp"],
    ] {
        let output = project
            .omlsp(args.iter().chain(&["--format", "csv"]).copied())
            .run()
            .expect_code(0);
        assert!(output.stdout.contains("t,stopped,2"), "{output}");
    }
}

#[test]
fn faults_have_places_and_exit_codes() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE TABLE prices (n BIGINT) WITH (connector = 'generate', rows = 2)",
    );
    project.omlsp(["run", "p.sql"]).run().expect_code(0);
    project.file("q.sql", "SELECT 1;\n\nSELECT m FROM prices;\nSELECT 2;\n");
    let cases: &[(&[&str], i32, &[&str])] = &[
        (
            &["sql", "SELECT n FROM prizes"],
            1,
            &["relation `prizes` does not exist", "did you mean `prices`?"],
        ),
        (
            &["sql", "SELECT nn FROM prices"],
            1,
            &["statement:1:8", "`n`"],
        ),
        (&["sql", "-f", "q.sql"], 1, &["q.sql:3:8"]),
        (
            &["sql", "SELECT 1; SELEC 2"],
            1,
            &["did you mean `SELECT`?"],
        ),
        (
            &["sql", "SELECT * FROM omlsp.entity"],
            1,
            &["named with a schema"],
        ),
        (
            &["sql", "WITH x AS (SELECT 1) DELETE FROM prices"],
            1,
            &["error"],
        ),
        (
            &[
                "sql",
                "WITH x AS (SELECT 1) INSERT INTO data.prices SELECT 1, 2, NULL",
            ],
            1,
            &["error"],
        ),
        (
            &["sql", "SELECT * FROM read_csv('/etc/passwd')"],
            1,
            &["error"],
        ),
        (
            &["sql", "SET statement_timeot = '1s'"],
            1,
            &["did you mean `statement_timeout`?"],
        ),
        (
            &["sql", "SET statement_timeout = 'soon'"],
            1,
            &["must be a duration"],
        ),
        (
            &["sql", "DROP VIEW prices"],
            1,
            &["`prices` is a TABLE, not a VIEW", "DROP TABLE prices"],
        ),
        (
            &["sql", "SELECT 1", "--state-dir", "nowhere"],
            1,
            &["there is no state in `nowhere`"],
        ),
        (
            &["show", "tables", "--state-dir", "nowhere"],
            1,
            &["there is no state in `nowhere`"],
        ),
        (&["show", "tabels"], 2, &["tables"]),
        (&["show", "tables", "views"], 2, &["materialized"]),
        (&["sql"], 2, &["SQL"]),
    ];
    for (args, code, texts) in cases {
        let output = project.omlsp(args.iter().copied()).run().expect_code(*code);
        for text in *texts {
            assert!(
                output.stderr.contains(text),
                "{args:?}: no `{text}` in {output}"
            );
        }
    }
    // Nothing of a script runs after what failed, and what came before has its result.
    let output = project
        .omlsp(["sql", "--format", "csv", "-f", "q.sql"])
        .run()
        .expect_code(1);
    assert_eq!(output.stdout, "1\n1\n");
    assert!(!project.path().join("nowhere").exists());
    let count = project
        .omlsp(["sql", "--format", "csv", "SELECT count(*) AS n FROM prices"])
        .run();
    assert_eq!(count.stdout, "n\n2\n");
}

#[test]
fn queries_without_a_tree_run_too() {
    let project = Project::new();
    project.file("p.sql", "CREATE TABLE t (n BIGINT, odd BOOLEAN AS (n % 2 = 1)) WITH (connector = 'generate', rows = 4)");
    project.omlsp(["run", "p.sql"]).run().expect_code(0);
    for (sql, expected) in [
        ("PIVOT t ON odd USING sum(n)", "false,true\n2,4\n"),
        ("SELECT count(*) FROM (SUMMARIZE t)", "count_star()\n2\n"),
        ("FROM t WHERE n = 3", "n,odd\n3,true\n"),
        ("VALUES (1), (NULL)", "col0\n1\n\"\"\n"),
    ] {
        let output = project
            .omlsp(["sql", "--format", "csv", sql])
            .run()
            .expect_code(0);
        assert_eq!(output.stdout, expected, "{sql}");
    }
    let output = project.omlsp(["sql", "SUMMARIZE t"]).run().expect_code(0);
    assert!(output.stdout.contains("column_name"), "{output}");
    // Of a relation the columns are fixed.
    let create = "CREATE VIEW wide AS PIVOT t ON odd USING sum(n)";
    let output = project.omlsp(["sql", create]).run().expect_code(1);
    let told = "this PIVOT takes its columns from the rows";
    assert!(output.stderr.contains(told), "{output}");
}
