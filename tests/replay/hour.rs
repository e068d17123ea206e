//! The clock of a record: an hour of it takes as long as its work.

use serde_json::json;

use crate::stage::Stage;

/// An hour, with a tick every ten seconds.
const HOUR_S: i64 = 3600;
const TICK_S: i64 = 10;

/// 2026-01-05T10:00:00Z.
const BEGIN_S: i64 = 1_767_607_200;

fn instant(seconds: i64, micros: u32) -> String {
    let at = chrono::DateTime::from_timestamp(BEGIN_S + seconds, micros * 1000);
    let at = at.expect("an instant of this century");
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// Writes a record by hand: the polls are not in it, so that the schedule tells them.
fn record(ticks: impl Iterator<Item = i64>) -> String {
    let mut lines = vec![json!({
        "at": instant(0, 0), "kind": "begin", "format": 1, "omlsp": "0.1.0", "sources": ["prices"],
    })];
    for tick in ticks {
        let body = json!([{"price": 100 + tick % 7}]);
        lines.push(json!({
            "at": instant(tick, 1500), "kind": "http", "entity": "prices",
            "request": {"method": "GET", "url": "https://prices.invalid/"},
            "response": {"status": 200, "body": {"json": body}},
        }));
    }
    lines.push(json!({"at": instant(HOUR_S, 0), "kind": "end"}));
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn ticks() -> impl Iterator<Item = i64> {
    (0..=HOUR_S / TICK_S).map(|tick| tick * TICK_S)
}

const SQL: &str = "CREATE TABLE prices (price INTEGER, due TIMESTAMP AS (TRIGGER_TIME())) WITH (
        connector = 'http', url = 'https://prices.invalid/', SCHEDULE);
    CREATE MATERIALIZED VIEW minutes AS
        SELECT date_trunc('minute', due) AS minute, count(*) AS n, sum(price) AS total
        FROM prices GROUP BY minute;
    CREATE VIEW seen AS SELECT due, now() AS now, current_date AS day, random() AS chance FROM prices;
    CREATE SINK out FROM seen WITH (connector = 'file', path = 'out/seen.json');";

#[test]
fn an_hour_of_ticks_replays_at_its_own_speed_on_its_own_clock() {
    let stage = Stage::new(&SQL.replace("SCHEDULE", "interval = '10s'"));
    stage.project.file("record/record.jsonl", record(ticks()));
    // The call has a bound of a minute.
    let (output, left) = stage.replay_into("state");
    output.expect_code(0);
    let prices = left.rows("data.prices");
    assert_eq!(prices.len(), usize::try_from(HOUR_S / TICK_S + 1).unwrap());
    assert_eq!(prices[1]["due"], json!("2026-01-05 10:00:10"));
    let minutes = left.rows("data.minutes");
    assert_eq!(minutes.len(), 61);
    let seen = &left
        .files
        .iter()
        .find(|(name, _)| name == "seen-000001.json")
        .unwrap()
        .1;
    let seen = String::from_utf8_lossy(seen);
    let first: serde_json::Value = serde_json::from_str(seen.lines().nth(6).unwrap()).unwrap();
    assert_eq!(first["due"], json!("2026-01-05T10:01:00Z"));
    // A query sees the instant of the poll.
    assert_eq!(first["now"], json!("2026-01-05T10:01:00Z"));
    assert_eq!(first["day"], json!("2026-01-05"));
}

#[test]
fn a_cron_pattern_names_the_instants_of_a_record_too() {
    let stage = Stage::new(&SQL.replace("SCHEDULE", "schedule = '*/15 * * * *'"));
    let quarters = (1..=4).map(|quarter| quarter * 900);
    stage.project.file("record/record.jsonl", record(quarters));
    let left = stage.replay_twice();
    let at: Vec<_> = left
        .rows("data.prices")
        .iter()
        .map(|row| row["due"].clone())
        .collect();
    let expected = ["10:15:00", "10:30:00", "10:45:00", "11:00:00"];
    assert_eq!(at, expected.map(|time| json!(format!("2026-01-05 {time}"))));
}

#[test]
fn a_record_can_be_played_in_its_own_time() {
    let stage = Stage::new(&SQL.replace("SCHEDULE", "interval = '10s'"));
    stage.project.file("record/record.jsonl", record(ticks()));
    let args = [
        "run",
        "pipeline.sql",
        "--replay",
        "record",
        "--speed",
        "10x",
    ];
    let mut running = stage.omlsp(args).spawn();
    running.wait_for_stderr("replaying");
    running.interrupt();
    // An hour at ten times its speed lasts six minutes, which no test waits: the signal ends it.
    running.wait().expect_code(0);
    let seen = stage
        .project
        .read("out/seen-000001.json")
        .unwrap_or_default();
    assert!(seen.lines().count() < 300, "{seen}");
    for wrong in ["fast", "0x", "-1x", "x"] {
        let output = stage
            .omlsp([
                "run",
                "pipeline.sql",
                "--replay",
                "record",
                &format!("--speed={wrong}"),
            ])
            .run()
            .expect_code(2);
        assert!(
            output.stderr.contains("expected max, or a factor"),
            "{output}"
        );
    }
}
