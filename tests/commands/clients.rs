//! Owners, and many, slow, dying and impatient clients.

use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::json;

use crate::owner::{Connection, Owner, PIPELINE};
use crate::support::binary::{Project, wait_until};

/// A statement that would take hours.
const LONG: &str =
    "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b WHERE a.range < b.range";

/// More than a state or a client may take: the binary with an idle engine has about 60 MB.
const MEMORY_MAX: u64 = 500 * 1024 * 1024;

#[test]
fn a_second_owner_fails_at_once_and_a_killed_one_leaves_nothing_in_the_way() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    let mode = std::fs::metadata(owner.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = project
        .omlsp(["run", "p.sql", "--state-dir", "state"])
        .run()
        .expect_code(1);
    assert!(
        second
            .stderr
            .contains(&format!("process {}", owner.running.pid())),
        "{second}"
    );
    owner.wait_for("SELECT count(*) = 10 AS ok FROM numbers");
    owner.running.kill();
    assert!(project.path().join("state/control.sock").exists());
    let count = [
        "sql",
        "--state-dir",
        "state",
        "--format",
        "csv",
        "SELECT count(*) AS n FROM numbers",
    ];
    assert_eq!(project.omlsp(count).run().expect_code(0).stdout, "n\n10\n");
    let owner = Owner::start(&project);
    assert_eq!(owner.rows("SELECT count(*) FROM numbers"), [json!([10])]);
    owner.stop();
    assert!(!project.path().join("state/control.sock").exists());
}

#[test]
fn a_long_statement_is_cancelled_and_the_connection_goes_on() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    let mut connection = owner.connect();
    connection.send(&json!({"sql": LONG}));
    connection.cancel();
    connection.answer().expect_error("cancelled");
    assert_eq!(connection.run("SELECT 1").expect_rows(), [json!([1])]);
    // Also once the engine is at it: the first statement has answered when the cancel comes.
    connection.send(&json!({"sql": format!("SELECT 1; {LONG}; SELECT 2")}));
    while connection.line().expect("an answer")["rows"].is_null() {}
    connection.cancel();
    let answer = connection.answer();
    answer.expect_error("cancelled");
    assert!(answer.rows.is_empty());
    let timed = connection.run(&format!("SET statement_timeout = '50ms'; {LONG}"));
    timed.expect_error("longer than `statement_timeout` (50ms)");
    let client = [
        "sql",
        "--state-dir",
        "state",
        &format!("SET statement_timeout = '50ms'; {LONG}"),
    ];
    let output = project.omlsp(client).run().expect_code(1);
    assert!(output.stderr.contains("statement_timeout"), "{output}");
    assert_eq!(output.stdout, "", "{output}");
    // The end of a run does not wait for what its clients are at.
    connection.send(&json!({"sql": LONG}));
    owner.stop();
}

#[test]
fn fifty_clients_at_once_are_served() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) = 10 AS ok FROM numbers");
    let connections: Vec<Connection> = (0..50).map(|_| owner.connect()).collect();
    thread::scope(|scope| {
        for (at, mut connection) in connections.into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..10 {
                    let sql = format!("SELECT sum(n) + {at} + {round} FROM numbers");
                    let expected = 45 + at + round;
                    let rows = connection.run(&sql).expect_rows();
                    assert_eq!(rows[0][0].as_u64(), Some(expected as u64), "{rows:?}");
                }
            });
        }
    });
    owner.stop();
}

#[test]
fn slow_and_dying_clients_hold_nobody_up() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    let everything = json!({"sql": "SELECT range, repeat('x', 100) FROM range(1000000000)"});
    let mut slow: Vec<Connection> = (0..10).map(|_| owner.connect()).collect();
    for connection in &mut slow {
        connection.send(&everything);
        assert!(connection.line().expect("an answer")["columns"].is_array());
    }
    // Dies in the middle of an answer, and in the middle of a statement without one.
    for sql in [everything, json!({"sql": LONG})] {
        let mut dying = owner.connect();
        dying.send(&sql);
        drop(dying);
    }
    let ticked = |count: u64| {
        let rows = owner.rows("SHOW SOURCES");
        rows[0][4].as_u64().unwrap() >= count
    };
    let before = owner.rows("SHOW SOURCES")[0][4].as_u64().unwrap();
    wait_until(|| ticked(before + 20), "the source goes on");
    assert_eq!(owner.rows("SELECT count(*) FROM numbers"), [json!([10])]);
    let peak = owner.running.memory_peak_bytes().expect("it runs");
    assert!(peak < MEMORY_MAX, "{peak} bytes");
    // A slow one still gets every row in order.
    let mut next = 0;
    while next < 20_000 {
        let line = slow[0].line().expect("an answer");
        for row in line["rows"].as_array().expect("rows") {
            assert_eq!(row[0], next);
            next += 1;
        }
    }
    owner.stop();
}

#[test]
fn a_million_rows_sit_in_nobodys_memory() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let mut owner = Owner::start(&project);
    let sql = "SELECT range AS n, repeat('x', 200) AS text FROM range(1000000)";
    for format in ["json", "csv", "table"] {
        let args = ["sql", "--state-dir", "state", "--format", format, sql];
        let mut client = project.omlsp(args).spawn();
        let mut peak = 0;
        wait_until(
            || {
                let ended = !client.is_running();
                peak = peak.max(client.memory_peak_bytes().unwrap_or(0));
                ended
            },
            "the client ends",
        );
        let output = client.wait().expect_code(0);
        let lines = output
            .stdout
            .lines()
            .filter(|line| line.contains("xxx"))
            .count();
        assert_eq!(lines, 1_000_000, "{format}");
        assert!(peak < 100 * 1024 * 1024, "{format}: {peak} bytes");
    }
    assert!(owner.running.is_running());
    let peak = owner.running.memory_peak_bytes().expect("it runs");
    assert!(peak < MEMORY_MAX, "{peak} bytes");
    owner.stop();
}

#[test]
fn a_table_fits_the_terminal() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    let sql = "SELECT range AS n, repeat('word ', 60) AS text FROM range(2000)";
    let output = project
        .omlsp(["sql", "--state-dir", "state", sql])
        .env("COLUMNS", "60")
        .run()
        .expect_code(0);
    assert!(
        output.stdout.lines().all(|line| line.chars().count() <= 60),
        "{output}"
    );
    assert_eq!(output.stdout.matches("word").count(), 2000 * 60);
    owner.stop();
}
