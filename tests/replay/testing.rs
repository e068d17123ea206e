//! `omlsp test`: what passes, what fails and how it says so.

use serde_json::json;

use crate::support::binary::Project;

const SQL: &str = "CREATE SOURCE quotes (symbol STRING, price DOUBLE) WITH (
        connector = 'http', url = 'https://quotes.invalid/', interval = '1m', jq = '.[]');
    CREATE TEMPORARY TABLE names ($symbol STRING, name STRING) WITH (
        connector = 'lookup-http', url = 'https://names.invalid/$symbol');
    CREATE VIEW named AS SELECT q.symbol, n.name, q.price FROM quotes AS q JOIN names AS n ON q.symbol = n.symbol;
    CREATE MATERIALIZED VIEW totals AS SELECT symbol, sum(price) AS total FROM quotes GROUP BY symbol;
    CREATE SINK published FROM totals WITH (connector = 'http', url = 'https://sink.invalid/', changes = 'op');
    CREATE SINK kept FROM named WITH (connector = 'file', path = 'kept.json');";

fn record() -> String {
    let exchange = |second: u32, entity: &str, url: &str, body: serde_json::Value| {
        json!({
            "at": format!("2026-01-05T10:00:{second:02}Z"), "kind": "http", "entity": entity,
            "request": {"method": "GET", "url": url},
            "response": {"status": 200, "body": {"json": body}},
        })
    };
    let lines = [
        json!({"at": "2026-01-05T10:00:00Z", "kind": "begin", "format": 1, "omlsp": "0.1.0", "sources": ["quotes"]}),
        exchange(
            0,
            "quotes",
            "https://quotes.invalid/",
            json!([{"symbol": "A", "price": 1.5}, {"symbol": "B", "price": 2}]),
        ),
        exchange(
            1,
            "names",
            "https://names.invalid/A",
            json!({"name": "Alpha"}),
        ),
        exchange(
            1,
            "names",
            "https://names.invalid/B",
            json!({"name": "Beta"}),
        ),
        json!({"at": "2026-01-05T10:00:30Z", "kind": "end"}),
    ];
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn project(names: &[&str]) -> Project {
    let project = Project::new();
    for name in names {
        project.file(&format!("{name}/pipeline.sql"), SQL);
        project.file(&format!("{name}/record/record.jsonl"), record());
    }
    project
}

#[test]
fn what_is_blessed_passes_and_a_changed_view_fails_with_a_diff() {
    let project = project(&["tests/one"]);
    let output = project.omlsp(["test", "tests"]).run().expect_code(1);
    assert!(
        output
            .stdout
            .contains("nothing is expected: `--bless` writes"),
        "{output}"
    );
    project
        .omlsp(["test", "--bless", "tests"])
        .run()
        .expect_code(0);
    let expected = project.read("tests/one/expect/published.jsonl").unwrap();
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(expected.len(), 2);
    assert!(
        expected.contains(&r#"{"op":"insert","symbol":"A","total":1.5}"#),
        "{expected:?}"
    );
    // Of any other entity, if it is asked for, in either form.
    project.file("tests/one/expect/named.csv", "");
    project.file("tests/one/expect/quotes.jsonl", "");
    project
        .omlsp(["test", "--bless", "tests"])
        .run()
        .expect_code(0);
    assert_eq!(
        project.read("tests/one/expect/named.csv").unwrap(),
        "symbol,name,price\nA,Alpha,1.5\nB,Beta,2.0\n"
    );
    let output = project.omlsp(["test", "tests"]).run().expect_code(0);
    assert_eq!(
        output.stdout,
        "ok      tests/one (5 entities as expected)\n1 passed, 0 failed\n"
    );
    assert!(
        !project.path().join("kept-000001.json").exists(),
        "sinks are captured"
    );

    project.file(
        "tests/one/pipeline.sql",
        SQL.replace("q.price FROM", "q.price * 2 AS price FROM"),
    );
    let output = project.omlsp(["test", "tests"]).run().expect_code(1);
    let expected = "FAILED  tests/one
    tests/one/expect/kept.jsonl: - expected, + came
    @@ -1,2 +1,2 @@
    -{\"symbol\":\"A\",\"name\":\"Alpha\",\"price\":1.5}
    -{\"symbol\":\"B\",\"name\":\"Beta\",\"price\":2.0}
    +{\"symbol\":\"A\",\"name\":\"Alpha\",\"price\":3.0}
    +{\"symbol\":\"B\",\"name\":\"Beta\",\"price\":4.0}
    tests/one/expect/named.csv: - expected, + came
    @@ -1,3 +1,3 @@
     symbol,name,price
    -A,Alpha,1.5
    -B,Beta,2.0
    +A,Alpha,3.0
    +B,Beta,4.0
0 passed, 1 failed
";
    assert_eq!(output.stdout, expected, "{output}");
}

#[test]
fn several_tests_are_run_and_counted_and_each_fault_is_said() {
    let project = project(&["t/a", "t/b", "t/deep/c", "t/d"]);
    project.omlsp(["test", "--bless", "t"]).run().expect_code(0);
    project.file("t/b/pipeline.sql", SQL.replace("sum(price)", "summ(price)"));
    project.file(
        "t/d/pipeline.sql",
        SQL.replace("names.invalid", "other.invalid"),
    );
    project.file("t/deep/c/expect/total.jsonl", "");
    let output = project.omlsp(["test", "t/a", "t"]).run().expect_code(1);
    for part in [
        "ok      t/a (3 entities as expected)\n",
        "FAILED  t/b\n",
        "summ",
        "FAILED  t/d\n    the record lacks a request of `names`:\n      GET https://other.invalid/A\n",
        "the server is `https://other.invalid`, recorded was `https://names.invalid`",
        "FAILED  t/deep/c\n    t/deep/c/expect/total.jsonl: there is no entity `total`; is it `totals`?\n",
        "2 passed, 3 failed\n",
    ] {
        assert!(output.stdout.contains(part), "{part}\n{output}");
    }
    let output = project.omlsp(["test", "nowhere"]).run().expect_code(1);
    assert!(output.stderr.contains("cannot read `nowhere`"), "{output}");
    project.file("empty/a.sql", SQL);
    let output = project.omlsp(["test", "empty"]).run().expect_code(1);
    assert!(output.stderr.contains("no test under `empty`"), "{output}");
}
