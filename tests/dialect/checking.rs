//! `omlsp validate` as a command: all faults of all files at once, and its form for editors.

use serde_json::{Value, json};

use super::goldens::folder;
use crate::support::binary::Project;
use crate::support::golden::check;

const GOOD: &str =
    "CREATE SOURCE good (n BIGINT, a INT AS (n)) WITH (connector = 'generate', rows = 1);\n";

const FAULTY: &str = "CREATE VIEW first AS SELECT b FROM good;\n\
    CREATE SINK second FROM godo WITH (connector = 'stdout');\n";

const WORSE: &str = "CREATE TABLE third (a INT) WITH (connector = 'htpp', url = 'x');\n\
    CREATE TABLE good (a INT) WITH (connector = 'generate');\n";

fn project() -> Project {
    let project = Project::new();
    project.file("pipeline/a.sql", GOOD);
    project.file("pipeline/deep/b.sql", FAULTY);
    project.file("pipeline/deep/c.sql", WORSE);
    project.file("pipeline/notes.txt", "no pipeline");
    project
}

#[test]
fn all_faults_of_all_files_are_told_at_once() {
    let project = project();
    let output = project.omlsp(["validate", "pipeline"]).run().expect_code(1);
    assert_eq!(output.stdout, "", "stdout is for data");
    check(&folder("all_faults.txt"), &output.stderr);
}

#[test]
fn editors_get_the_same_faults_as_json() {
    let project = project();
    let args = ["validate", "--format", "json", "pipeline"];
    let output = project.omlsp(args).run().expect_code(1);
    let faults: Vec<Value> = serde_json::from_str(&output.stdout).expect("it is a JSON array");
    let text = serde_json::to_string_pretty(&faults).expect("what was read can be written");
    check(&folder("all_faults.json"), &format!("{text}\n"));
    assert_eq!(output.stderr, "");
    project.file("valid.sql", GOOD);
    let args = ["validate", "--format", "json", "valid.sql"];
    let output = project.omlsp(args).run().expect_code(0);
    assert_eq!(output.stdout.trim(), "[]");
}

#[test]
fn files_and_folders_are_mixed_and_one_file_is_read_once() {
    let project = project();
    project.file("extra.sql", "CREATE VIEW extra AS SELECT a FROM good;");
    let args = [
        "validate",
        "extra.sql",
        "pipeline/a.sql",
        "pipeline/../pipeline/a.sql",
    ];
    let output = project.omlsp(args).run().expect_code(0);
    assert_eq!(output.stderr, "2 entities in 2 files: valid\n");
}

#[test]
fn paths_that_cannot_be_read_say_so() {
    let project = Project::new();
    project.file("empty/notes.txt", "");
    project.file("binary.sql", [0xff, 0xfe, 0x00]);
    for (path, told) in [
        ("nowhere", "cannot read `nowhere`"),
        ("empty", "no .sql file under `empty`"),
        ("binary.sql", "`binary.sql` is not UTF-8 text"),
    ] {
        let output = project.omlsp(["validate", path]).run().expect_code(1);
        assert_eq!(output.stdout, "", "{output}");
        assert!(output.stderr.contains(told), "{output}");
        // For an editor it is a fault like any other.
        let args = ["validate", "--format", "json", path];
        let output = project.omlsp(args).run().expect_code(1);
        let faults: Vec<Value> = serde_json::from_str(&output.stdout).expect("it is a JSON array");
        let [fault] = faults.as_slice() else {
            panic!("{output}");
        };
        let message = fault["message"].as_str().expect("it is a text");
        assert!(message.contains(told), "{output}");
        for (key, value) in [
            ("file", json!(path)),
            ("line", json!(1)),
            ("column", json!(1)),
            ("severity", json!("error")),
            ("related", json!([])),
        ] {
            assert_eq!(fault[key], value, "{key}: {output}");
        }
        assert_eq!(output.stderr, "");
    }
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    let project = Project::new();
    for args in [
        &["validate"][..],
        &["validate", "--format", "xml", "a.sql"],
        &["valdiate", "a.sql"],
        &["run", "--for", "soon", "a.sql"],
    ] {
        let output = project.omlsp(args.iter().copied()).run();
        assert_eq!(output.code, Some(2), "{args:?}\n{output}");
    }
}

#[test]
fn a_long_sum_is_a_query_like_any_other() {
    let project = Project::new();
    let view = |terms: usize| {
        let sum = vec!["n"; terms].join(" + ");
        format!(
            "{GOOD}CREATE VIEW total AS SELECT {sum} AS total FROM good;\nCREATE MATERIALIZED VIEW kept AS FROM total;\n"
        )
    };
    // The longer one is too deep to be looked into, so it is evaluated as a whole.
    for (terms, how) in [
        (300, "maintained from each new batch alone"),
        (600, "recomputed and compared"),
    ] {
        project.file("long.sql", view(terms));
        let output = project.omlsp(["graph", "long.sql"]).run().expect_code(0);
        assert!(output.stdout.contains(how), "{output}");
    }
    // The engine itself has a limit.
    project.file("longer.sql", view(5_000));
    let output = project
        .omlsp(["validate", "longer.sql"])
        .run()
        .expect_code(1);
    for part in [
        "longer.sql:2:",
        "an expression of more than 1000 levels",
        "help: give a part of it a view of its own",
    ] {
        assert!(output.stderr.contains(part), "{part}: {output}");
    }
    assert!(!output.stderr.contains("SET max"), "{output}");
}
