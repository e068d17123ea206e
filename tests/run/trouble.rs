//! The server misbehaves: what the user sees, and that no row is lost or doubled.

use std::time::Duration;

use serde_json::{Value, json};

use super::setting::{Recorded, Setting, column, ids};
use crate::support::binary::Output;
use crate::support::http::Reply;

/// A table polled once; pauses between attempts are short.
const TABLE: &str = "CREATE TABLE polled (id BIGINT) WITH (
        connector = 'http', url = '${URL}/rows', interval = '1h', timeout = '2s',
        retry.initial_backoff = '10ms', retry.max_backoff = '20ms', retry.max_attempts = 3,
    );
    CREATE SINK printed FROM polled WITH (connector = 'stdout');";

/// Runs the table once over what the server says in turn.
fn polled(replies: Vec<Reply>) -> (Setting, Output) {
    let setting = Setting::scripted(TABLE, replies);
    let output = setting.once_kept();
    (setting, output)
}

/// Asserts that the rows 1, 2, 3 are there, once each, after one more request and a line about it.
fn assert_recovered(setting: &Setting, output: &Output, reason: &str) {
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3].map(Value::from),
        "{output}"
    );
    assert_eq!(setting.rows("FROM polled").len(), 3);
    assert_eq!(setting.server.count_of("/rows"), 2, "{output}");
    let told: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.contains("trying again"))
        .collect();
    assert!(
        matches!(told.as_slice(), [line] if line.contains("WARN") && line.contains("polled")),
        "{output}"
    );
    assert!(told[0].contains(reason), "{reason} is not in: {}", told[0]);
    assert_eq!(
        setting.errors(),
        [],
        "an attempt that is made again is no error"
    );
}

/// Asserts that the poll failed: no row, exit code 1, one line on stderr, one record that says `reason`.
fn assert_failed(setting: &Setting, output: &Output, reason: &str) -> Recorded {
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(output.stdout, "", "{output}");
    assert_eq!(setting.rows("FROM polled").len(), 0);
    let told = output
        .stderr
        .lines()
        .filter(|line| line.contains("ERROR"))
        .count();
    assert_eq!(told, 1, "{output}");
    let errors = setting.errors();
    let [error] = errors.as_slice() else {
        panic!("{errors:#?}")
    };
    assert_eq!(
        (error.entity.as_str(), error.stage.as_str()),
        ("polled", "read")
    );
    assert!(
        error.message.contains(reason),
        "`{reason}` is not in: {}",
        error.message
    );
    error.clone()
}

#[test]
fn a_500_is_tried_again() {
    let (setting, output) = polled(vec![Reply::status(500), ids(1..=3)]);
    assert_recovered(&setting, &output, "500");
}

#[test]
fn a_lasting_500_fails_the_poll_after_the_attempts_allowed() {
    let (setting, output) = polled(vec![Reply::status(500)]);
    assert_failed(&setting, &output, "500");
    assert_eq!(
        setting.server.count_of("/rows"),
        3,
        "retry.max_attempts = 3"
    );
}

#[test]
fn a_404_fails_at_once() {
    let (setting, output) = polled(vec![Reply::status(404)]);
    assert_failed(&setting, &output, "404");
    assert_eq!(setting.server.count_of("/rows"), 1, "no second attempt");
}

#[test]
fn a_429_is_obeyed() {
    let (setting, output) = polled(vec![
        Reply::status(429).header("Retry-After", "1"),
        ids(1..=3),
    ]);
    assert_recovered(&setting, &output, "429");
    let requests = setting.server.requests_of("/rows");
    let pause = requests[1].at - requests[0].at;
    assert!(
        pause >= Duration::from_secs(1),
        "asked again after {pause:?} although a second was asked for"
    );
}

#[test]
fn a_slow_body_within_the_timeout_is_read_whole() {
    let (setting, output) = polled(vec![ids(1..=3).slow(5, Duration::from_millis(5))]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3].map(Value::from)
    );
    assert_eq!(setting.server.count_of("/rows"), 1);
}

#[test]
fn a_body_slower_than_the_timeout_is_tried_again() {
    let slow = ids(1..=3).slow(1, Duration::from_millis(500));
    let (setting, output) = polled(vec![slow, ids(1..=3)]);
    assert_recovered(&setting, &output, "no complete answer within 2s");
}

#[test]
fn a_connection_cut_in_the_middle_of_a_body_is_tried_again() {
    let (setting, output) = polled(vec![ids(1..=3).hang_up_after(20), ids(1..=3)]);
    assert_recovered(&setting, &output, "");
}

#[test]
fn a_connection_closed_without_an_answer_is_tried_again() {
    let (setting, output) = polled(vec![Reply::hang_up(), ids(1..=3)]);
    assert_recovered(&setting, &output, "");
}

#[test]
fn a_truncated_gzip_is_tried_again() {
    let (setting, output) = polled(vec![ids(1..=3).gzip_truncated(25), ids(1..=3).gzip()]);
    assert_recovered(&setting, &output, "");
}

#[test]
fn a_lasting_truncated_gzip_fails_the_poll() {
    let (setting, output) = polled(vec![ids(1..=3).gzip_truncated(25)]);
    assert_failed(&setting, &output, "body");
}

#[test]
fn a_server_that_is_not_there_fails_the_poll() {
    let setting = Setting::new(TABLE);
    let output = setting
        .run(["--once"])
        .env("URL", "http://127.0.0.1:1")
        .run();
    assert_failed(&setting, &output, "127.0.0.1:1");
}

#[test]
fn json_of_another_content_type_is_read() {
    let (_, output) = polled(vec![ids(1..=3).header("Content-Type", "text/plain")]);
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3].map(Value::from),
        "{output}"
    );
}

#[test]
fn a_page_of_html_is_shown_for_what_it_is() {
    let html = Reply::text("<html><body>Down for maintenance</body></html>")
        .header("Content-Type", "text/html");
    let (setting, output) = polled(vec![html]);
    assert_failed(&setting, &output, "text/html");
    assert!(output.stderr.contains("Down for maintenance"), "{output}");
}

#[test]
fn invalid_json_takes_no_row_of_its_body() {
    let (setting, output) = polled(vec![Reply::json(r#"[{"id": 1}, {"id": 2}, {"id": "#)]);
    assert_failed(&setting, &output, "JSON");
}

#[test]
fn an_empty_body_is_a_poll_of_no_rows() {
    let (setting, output) = polled(vec![Reply::json(""), ids(1..=3)]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), ""),
        "{output}"
    );
    let output = setting.once_kept();
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3].map(Value::from),
        "{output}"
    );
}

#[test]
fn a_body_above_its_bound_fails_the_poll() {
    let sql = TABLE.replace("timeout = '2s'", "max_body_bytes = '10KiB'");
    let setting = Setting::scripted(&sql, vec![ids(1..=2000)]);
    let output = setting.once_kept();
    let error = assert_failed(&setting, &output, "max_body_bytes");
    assert!(error.message.contains("10240 bytes"), "{}", error.message);
}

#[test]
fn a_row_of_three_megabytes_passes_whole() {
    let text = "ä€x\"".repeat(500_000);
    let sql = "CREATE TABLE big (id BIGINT, text STRING)
        WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE SINK printed FROM big WITH (connector = 'stdout');";
    let body = json!([{"id": 1, "text": "a"}, {"id": 2, "text": text}, {"id": 3, "text": "c"}]);
    let setting = Setting::scripted(sql, vec![Reply::value(&body)]);
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0));
    let rows = output.json_lines();
    assert_eq!(column(&rows, "id"), [1, 2, 3].map(Value::from));
    assert!(
        rows[1]["text"] == text.as_str(),
        "the long text came changed"
    );
    let lengths = setting.rows("SELECT sum(length(text))::BIGINT AS n FROM big");
    assert_eq!(lengths, [json!({"n": 2_000_002})]);
}

#[test]
fn a_page_that_repeats_ends_the_poll_and_is_not_taken_twice() {
    let sql = "CREATE TABLE polled (id BIGINT) WITH (
            connector = 'http', url = '${URL}/rows', interval = '1h', pagination.type = 'page-based',
        );
        CREATE SINK printed FROM polled WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids(1..=3), ids(4..=6), ids(4..=6)]);
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3, 4, 5, 6].map(Value::from)
    );
    assert!(output.stderr.contains("repeats"), "{output}");
    assert_eq!(setting.server.count_of("/rows"), 3);
}

#[test]
fn a_poll_that_fails_on_its_second_page_is_finished_later_without_doubles() {
    let sql = TABLE.replace("timeout = '2s'", "pagination.type = 'page-based'");
    let setting = Setting::new(&sql);
    setting
        .server
        .on("GET", "/rows", |request| match request.param("page") {
            Some("0") => ids(1..=3),
            _ => Reply::status(503),
        });
    let output = setting.once_kept();
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3].map(Value::from),
        "{output}"
    );
    setting
        .server
        .on("GET", "/rows", |request| match request.param("page") {
            Some("0") => ids(101..=102),
            Some("1") => ids(4..=6),
            _ => ids([]),
        });
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0), "{output}");
    // The rest of the first poll, then the whole second one.
    let expected = [4, 5, 6, 101, 102, 4, 5, 6].map(Value::from);
    assert_eq!(column(&output.json_lines(), "id"), expected, "{output}");
    assert_eq!(setting.rows("FROM polled").len(), 11);
}

#[test]
fn a_failing_poll_leaves_the_next_one_and_other_sources_alone() {
    let sql = "CREATE TABLE flaky (id BIGINT) WITH (
            connector = 'http', url = '${URL}/flaky', interval = '50ms', retry.max_attempts = 1,
        );
        CREATE TABLE steady (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '50ms');
        CREATE SINK print_flaky FROM flaky WITH (connector = 'stdout');
        CREATE SINK print_steady FROM (SELECT id AS steady FROM steady) WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([9])]);
    let script = vec![
        Reply::json("{"),
        Reply::status(500),
        Reply::status(500),
        ids([1]),
        Reply::json("[]"),
    ];
    setting.server.script("/flaky", script);
    let mut running = setting.run([]).spawn();
    running.wait_for_stdout("{\"id\":1}");
    running.wait_for_stdout("{\"steady\":9}");
    running.wait_for_stderr("works again");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let errors: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "one line a streak\n{output}");
    let recorded = setting.errors();
    assert_eq!(
        recorded.len(),
        3,
        "every failure is recorded: {recorded:#?}"
    );
    assert!(recorded.iter().all(|error| error.entity == "flaky"));
}

#[test]
fn retries_do_not_hold_up_other_sources() {
    let sql = "CREATE TABLE slow (id BIGINT) WITH (
            connector = 'http', url = '${URL}/slow', interval = '1h', retry.initial_backoff = '20s',
        );
        CREATE TABLE steady (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '20ms');
        CREATE SINK printed FROM steady WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([9])]);
    setting.server.script(
        "/slow",
        vec![Reply::status(500).header("Retry-After", "30")],
    );
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_until(
        |running| running.stdout_line_count() >= 5,
        "five polls of the steady source",
    );
    assert_eq!(setting.server.count_of("/slow"), 1);
    // A pause between attempts ends at once when asked to stop.
    running.interrupt();
    running.wait().expect_code(0);
}
