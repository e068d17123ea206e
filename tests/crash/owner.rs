//! One owner at a time, and states that are not ours to open.

use std::path::Path;

use super::support::binary::{Output, Project};
use omlsp::engine::{Database, FORMAT_VERSION};

const PIPELINE: &str = "CREATE TABLE t (n BIGINT) WITH (connector = 'generate', rows = '10');";

const ARGS: [&str; 4] = ["run", "t.sql", "--state-dir", "st"];

fn project() -> Project {
    let project = Project::new();
    project.file("t.sql", PIPELINE);
    project
}

fn once(project: &Project) -> Output {
    project.omlsp(ARGS).args(["--once"]).run()
}

#[test]
fn a_second_owner_is_told_the_first() {
    let project = project();
    let endless =
        "CREATE TABLE t (n BIGINT) WITH (connector = 'generate', rows_per_second = '10');";
    project.file("t.sql", endless);
    let mut first = project.omlsp(ARGS).spawn();
    first.wait_for_stderr("running");
    let second = once(&project).expect_code(1);
    let named = format!("(process {})", first.pid());
    assert!(second.stderr.contains(&named), "{second}");
    assert!(first.is_running());
    // A killed owner leaves no lock behind.
    first.kill();
    let mut third = project.omlsp(ARGS).spawn();
    third.wait_for_stderr("running");
    third.terminate();
    third.wait().expect_code(0);
}

#[test]
fn a_newer_format_is_refused() {
    let project = project();
    once(&project).expect_code(0);
    let path = project.path().join("st/state.duckdb");
    let newer = FORMAT_VERSION + 1;
    {
        let database = Database::open(Some(&path)).expect("the state can be opened");
        let session = database.session().expect("a session");
        let sql = format!("UPDATE omlsp.format SET version = {newer}");
        session.execute_batch(&sql).expect("the table is there");
    }
    let output = once(&project).expect_code(1);
    let expected = format!("the state has format {newer}, this omlsp knows up to {FORMAT_VERSION}");
    assert!(output.stderr.contains(&expected), "{output}");
}

/// Asserts that a state is refused with its file's name and advice, and is left as it is.
fn refuses(project: &Project, path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("the file can be written");
    let output = once(project).expect_code(1);
    assert!(output.stderr.contains("state.duckdb"), "{output}");
    assert!(output.stderr.contains("--state-dir"), "{output}");
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert!(
        std::fs::read(path).is_ok_and(|left| left == bytes),
        "it was changed"
    );
}

#[test]
fn a_broken_state_is_refused_and_left() {
    let project = project();
    once(&project).expect_code(0);
    let path = project.path().join("st/state.duckdb");
    let good = std::fs::read(&path).expect("the state is there");
    refuses(&project, &path, b"this is no database at all");
    std::fs::write(&path, &good).expect("the file can be written");
    once(&project).expect_code(0);
}
