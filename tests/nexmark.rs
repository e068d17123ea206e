//! Nexmark over the generate source: every query gives what DuckDB gives over the same rows, by a query of its
//! own that knows no windows.

mod support;

use std::path::{Path, PathBuf};

use omlsp::engine::{Database, Session};

use support::binary::Project;

const QUERIES: &[&str] = &["q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nexmark")
}

fn text(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Opens the state that a run left.
fn state(project: &Project) -> (Session, Database) {
    let path = project.path().join(".omlsp/state.duckdb");
    let database = Database::open(Some(&path)).expect("the state can be opened");
    (database.session().expect("a session can be had"), database)
}

fn count(session: &Session, sql: &str) -> i64 {
    let number = session.number(sql, &[]);
    let number = number.unwrap_or_else(|error| panic!("{error:#}: {sql}"));
    number.expect("a count is a number")
}

/// Runs the queries over sources, and keeps the rows of the same sources as tables.
fn run() -> Project {
    let project = Project::new();
    let sources = text("sources.sql");
    project.file("nexmark/sources.sql", &sources);
    for query in QUERIES {
        project.file(
            &format!("nexmark/{query}.sql"),
            text(&format!("{query}.sql")),
        );
    }
    let rows = ["person", "auction", "bid"];
    let tables = rows.iter().fold(sources, |text, name| {
        let head = format!("CREATE SOURCE {name} (");
        assert!(text.contains(&head), "{head}");
        text.replace(&head, &format!("CREATE TABLE {name}_rows ("))
    });
    project.file("nexmark/tables.sql", tables);
    project
        .omlsp(["run", "nexmark", "--once"])
        .run()
        .expect_code(0);
    project
}

#[test]
fn every_query_gives_the_reference_answer() {
    let project = run();
    let (session, _database) = state(&project);
    let late = "SELECT count(*) FROM omlsp_errors";
    assert_eq!(count(&session, late), 0, "every row is in time");
    let closed = [("q5_closed", "q5"), ("q8_closed", "q8")];
    let all = QUERIES.iter().map(|query| (*query, *query)).chain(closed);
    for (view, query) in all {
        let reference = text(&format!("reference/{query}.sql"));
        let reference = format!(
            "WITH person AS (FROM person_rows), auction AS (FROM auction_rows), bid AS (FROM bid_rows) \
             SELECT * FROM ({reference})"
        );
        for (one, other) in [
            (format!("FROM {view}"), reference.clone()),
            (reference.clone(), format!("FROM {view}")),
        ] {
            let sql = format!("SELECT count(*) FROM (({one}) EXCEPT ALL ({other}))");
            assert_eq!(count(&session, &sql), 0, "{view}: in\n{one}\nalone");
        }
        let rows = count(&session, &format!("SELECT count(*) FROM {view}"));
        assert!(rows > 0, "{view} has rows");
    }
}
