//! `omlsp tail` and `omlsp top`, through the control socket.

use std::process::Command;

use super::setting::Listening;
use crate::support::binary::{Project, wait_until};

const PIPELINE: &str = "
CREATE TABLE prices (n BIGINT, symbol STRING AS ('s' || n % 2), price BIGINT AS (n)) WITH (connector = 'generate', rows_per_second = 40);
CREATE VIEW odd AS SELECT price FROM prices WHERE n % 2 = 1;
CREATE VIEW counted AS SELECT count(*) AS c FROM prices;
CREATE MATERIALIZED VIEW highest AS SELECT symbol, max(price) AS price FROM prices GROUP BY symbol;
CREATE SINK out FROM highest WITH (connector = 'file', path = 'out.json', changes = 'op');
CREATE SECRET hidden WITH (backend = 'meta') AS 'value';
";

fn started() -> (Project, Listening) {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let listening = Listening::start(&project);
    (project, listening)
}

#[test]
fn tail_prints_changes_as_they_come() {
    let (project, listening) = started();
    let tail = |name: &str, more: &[&str]| {
        let args = ["tail", name, "--state-dir", "state"];
        project.omlsp(args.iter().chain(more).copied()).spawn()
    };
    let mut table = tail("prices", &[]);
    let mut view = tail("ODD", &["--format", "csv"]);
    let mut result = tail("highest", &[]);
    let mut sink = tail("out", &[]);
    for running in [&mut table, &mut view, &mut result, &mut sink] {
        running.wait_until(
            |running| running.stdout_line_count() >= 20,
            "twenty changes",
        );
    }
    drop(listening);

    let lines: Vec<serde_json::Value> = table.kill_if_running().json_lines();
    let numbers: Vec<i64> = lines.iter().filter_map(|line| line["n"].as_i64()).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "none is missing: {numbers:?}"
    );
    assert!(lines.iter().all(|line| line["op"] == "insert"), "{lines:?}");

    let text = view.kill_if_running().stdout;
    assert!(text.starts_with("op,price\ninsert,"), "{text}");
    let odd = text
        .lines()
        .skip(1)
        .all(|line| line.ends_with(['1', '3', '5', '7', '9']));
    assert!(odd, "{text}");

    // A group's new row takes the place of the one before.
    for running in [result, sink] {
        let lines = running.kill_if_running().json_lines();
        let mut prices = std::collections::HashMap::new();
        for line in &lines {
            let (symbol, price) = (line["symbol"].to_string(), line["price"].as_i64());
            if line["op"] == "delete" {
                let old = prices.remove(&symbol).unwrap_or(price);
                assert_eq!(old, price, "{line} in {lines:?}");
            } else {
                assert_eq!(line["op"], "insert");
                prices.insert(symbol, price);
            }
        }
        assert!(lines.iter().any(|line| line["op"] == "delete"), "{lines:?}");
    }
}

#[test]
fn tail_says_what_it_cannot_follow() {
    let (project, _listening) = started();
    for (name, says) in [
        ("nothing", "`nothing` does not exist"),
        ("pricse", "did you mean `prices`?"),
        ("hidden", "it has no rows"),
        ("counted", "make it a MATERIALIZED VIEW"),
    ] {
        let output = project
            .omlsp(["tail", name, "--state-dir", "state"])
            .run()
            .expect_code(1);
        assert!(output.stderr.contains(says), "{name}: {output}");
    }
    let output = project
        .omlsp(["tail", "x", "--state-dir", "none"])
        .run()
        .expect_code(1);
    assert!(output.stderr.contains("there is no state"), "{output}");
    let output = project
        .omlsp(["top", "--state-dir", "none"])
        .run()
        .expect_code(1);
    assert!(output.stderr.contains("nothing runs in `none`"), "{output}");
}

#[test]
fn an_onlooker_that_does_not_read_holds_nobody_up() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE SOURCE fast (n BIGINT, text STRING AS (repeat('x', 1000))) WITH (connector = 'generate', rows_per_second = 20000);
         CREATE MATERIALIZED VIEW c AS SELECT count(*) AS c FROM fast;",
    );
    let listening = Listening::start(&project);
    let tail = project
        .omlsp(["tail", "fast", "--state-dir", "state"])
        .spawn();
    let running = &tail;
    wait_until(|| running.stdout_line_count() > 0, "a first change");
    tail.signal("STOP");
    let before = listening.entity("fast")["rows_out"].as_u64().unwrap_or(0);
    listening.wait_for("fast", "rows_out", |rows| {
        rows.as_u64() >= Some(before + 60_000)
    });
    listening.wait_for("c", "behind", |rows| rows.as_u64() < Some(60_000));
    tail.signal("CONT");
    tail.kill_if_running();
}

#[test]
fn top_prints_one_look_where_there_is_no_terminal() {
    let (project, listening) = started();
    listening.wait_for("highest", "rows_out", |rows| rows.as_u64() >= Some(2));
    let output = project
        .omlsp(["top", "--state-dir", "state", "--format", "json"])
        .run()
        .expect_code(0);
    let lines = output.json_lines();
    assert_eq!(lines.len(), 5, "all but the secret: {output}");
    assert_eq!(lines[0]["entity"], "prices");
    assert!(lines[0]["per_second"].as_f64() > Some(1.0), "{output}");
    assert_eq!(lines[3]["state"], "running");
}

#[test]
fn top_draws_on_a_terminal_and_ends_by_its_key() {
    let (project, listening) = started();
    listening.wait_for("highest", "rows_out", |rows| rows.as_u64() >= Some(2));
    // `script` gives it a terminal; what it typed is read from stdin.
    let binary = env!("CARGO_BIN_EXE_omlsp");
    let typed = "(sleep 2; printf s; sleep 1; printf q)";
    let command = format!(
        "{typed} | script -qec 'stty rows 30 cols 120; {binary} top --state-dir state' screen.txt"
    );
    let status = Command::new("sh")
        .args(["-c", &command])
        .current_dir(project.path())
        .env("TERM", "xterm-256color")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(
        status.expect("there is a shell").success(),
        "q ends it well"
    );
    let drawn = project.read("screen.txt").expect("script writes it");
    for text in ["ENTITY", "prices", "highest", "rows/s"] {
        assert!(drawn.contains(text), "no `{text}` in {drawn:?}");
    }
}
