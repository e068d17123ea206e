//! When sources are polled, and which instant their rows belong to.

use std::time::Duration;

use serde_json::{Value, json};

use super::setting::{Setting, column, ids};
use crate::support::binary::wait_at_most;
use crate::support::http::Reply;

/// The pattern has whole minutes, so the next instant is at most one away; the rest is for a busy machine.
const CRON_WAIT_MAX: Duration = Duration::from_secs(100);

#[test]
fn rows_of_a_cron_poll_belong_to_its_scheduled_instant() {
    let sql = "CREATE TABLE t (id BIGINT, at_ms BIGINT AS (TRIGGER_EPOCH_TIME()))
            WITH (connector = 'http', url = '${URL}/rows', schedule = '*/1 * * * *', timezone = 'Asia/Kolkata');
        CREATE SINK p FROM t WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([1]).delay(Duration::from_millis(300))]);
    let started_ms = chrono::Utc::now().timestamp_millis();
    let running = setting.run(["--ephemeral"]).spawn();
    let waited = wait_at_most(CRON_WAIT_MAX, || running.stdout_line_count() > 0);
    assert!(
        waited.is_ok(),
        "no poll within {CRON_WAIT_MAX:?}\n{}",
        running.stderr()
    );
    running.interrupt();
    let output = running.wait().expect_code(0);
    let at_ms = output.json_lines()[0]["at_ms"]
        .as_i64()
        .expect("milliseconds");
    let next_minute_ms = (started_ms / 60_000 + 1) * 60_000;
    assert_eq!(at_ms % 60_000, 0, "not the instant of the answer\n{output}");
    assert!(
        at_ms >= next_minute_ms,
        "a cron pattern is not due at the start\n{output}"
    );
}

#[test]
fn an_interval_polls_at_once_and_then_at_even_distances() {
    let sql = "CREATE TABLE t (id BIGINT, at_ms BIGINT AS (TRIGGER_EPOCH_TIME()))
            WITH (connector = 'http', url = '${URL}/rows', interval = '200ms', overlap = 'queue');
        CREATE SINK p FROM t WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([1])]);
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_until(|running| running.stdout_line_count() >= 4, "four polls");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let instants: Vec<i64> = output
        .json_lines()
        .iter()
        .filter_map(|row| row["at_ms"].as_i64())
        .collect();
    // The first is due at once; the others are the whole multiples, however late a busy machine polls.
    assert!(instants.is_sorted(), "{instants:?}");
    assert!(
        instants[1..].iter().all(|instant| instant % 200 == 0),
        "{instants:?}"
    );
}

/// Polls every 100 ms a server that holds the first answer back; returns the scheduled instants of three polls.
fn overlapping(overlap: &str) -> (Vec<i64>, String) {
    let sql = format!(
        "CREATE TABLE t (id BIGINT, at_ms BIGINT AS (TRIGGER_EPOCH_TIME()))
            WITH (connector = 'http', url = '${{URL}}/rows', interval = '100ms', overlap = '{overlap}');
        CREATE SINK p FROM t WITH (connector = 'stdout');"
    );
    let setting = Setting::scripted(
        &sql,
        vec![ids([1]).delay(Duration::from_millis(550)), ids([2])],
    );
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_until(|running| running.stdout_line_count() >= 3, "three polls");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let instants = output
        .json_lines()
        .iter()
        .filter_map(|row| row["at_ms"].as_i64())
        .collect();
    (instants, output.stderr)
}

#[test]
fn ticks_during_a_poll_are_skipped_and_the_log_says_so() {
    let (instants, stderr) = overlapping("skip");
    assert!(
        instants[1] - instants[0] >= 500,
        "a tick that was over is not made up for: {instants:?}"
    );
    assert!(stderr.contains("skipped"), "{stderr}");
}

#[test]
fn one_tick_waits_if_asked_to() {
    let (instants, stderr) = overlapping("queue");
    let next = (instants[0] / 100 + 1) * 100;
    assert_eq!(
        instants[1], next,
        "the tick that waited keeps its instant: {instants:?}"
    );
    assert!(
        instants[2] - instants[0] >= 500,
        "one tick waits, not each: {instants:?}"
    );
    assert!(
        stderr.contains("skipped"),
        "the others are still skipped: {stderr}"
    );
}

#[test]
fn once_polls_each_source_once_whatever_its_schedule() {
    let sql = "CREATE TABLE a (id BIGINT) WITH (connector = 'http', url = '${URL}/a', schedule = '0 0 1 1 *');
        CREATE TABLE b (id BIGINT) WITH (connector = 'http', url = '${URL}/b', interval = '10ms');";
    let setting = Setting::new(sql);
    setting.server.script("/*", vec![ids([1])]);
    setting.once().expect_code(0);
    assert_eq!(
        (setting.server.count_of("/a"), setting.server.count_of("/b")),
        (1, 1)
    );
}

#[test]
fn a_rate_limit_counts_the_pages_of_a_poll() {
    let sql =
        "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h',
            pagination.type = 'page-based', rate_limit = '2/400ms');
        CREATE SINK p FROM t WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([1]), ids([2]), ids([3]), ids([])]);
    let output = setting.once().expect_code(0);
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2, 3].map(Value::from)
    );
    let requests = setting.server.requests();
    assert_eq!(requests.len(), 4);
    for trio in requests.windows(3) {
        let span = trio[2].at - trio[0].at;
        assert!(
            span >= Duration::from_millis(350),
            "three requests within {span:?}"
        );
    }
}

#[test]
fn an_unchanged_answer_is_a_poll_of_no_rows() {
    let sql = "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE SINK p FROM t WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    setting.server.on("GET", "/rows", |request| {
        match request.header("If-None-Match") {
            Some("\"v1\"") => Reply::not_modified(),
            _ => ids([1, 2]).header("ETag", "\"v1\""),
        }
    });
    assert_eq!(setting.once_kept().expect_code(0).stdout.lines().count(), 2);
    // The validator is in the state, with the rows it belongs to.
    let second = setting.once_kept().expect_code(0);
    assert_eq!(second.stdout, "", "{second}");
    assert_eq!(setting.server.count_of("/rows"), 2);
    assert_eq!(
        setting.rows("SELECT count(*) AS n FROM t"),
        [json!({"n": 2})]
    );
}
