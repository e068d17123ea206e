//! Polls, lookups, pages, retries and errors on a record.

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::exchanges::Exchanges;
use crate::support::http::{Reply, Server};

/// The examples that need HTTP only, as one pipeline.
const EXAMPLES: &[&str] = &[
    "01_tickers.sql",
    "02_candles.sql",
    "03_shared_source.sql",
    "04_pagination.sql",
    "05_secret.sql",
];

fn example(file: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    std::fs::read_to_string(path.join(file)).expect("the pipeline is part of the repository")
}

fn on_exchanges(sql: &str, server: &Server) -> Stage {
    let names = ["KUCOIN", "BINANCE", "COINBASE", "COINLORE", "BYBIT"];
    names.iter().fold(Stage::new(sql), |stage, name| {
        stage.env(&format!("{name}_URL"), server.url())
    })
}

#[test]
fn every_example_over_http_replays_to_the_same_bytes_without_a_server() {
    let texts: Vec<String> = EXAMPLES.iter().map(|file| example(file)).collect();
    let server = Server::start();
    Exchanges::new(3).mount(&server);
    let stage = on_exchanges(&texts.join("\n"), &server);
    let live = stage.recording(["--once"]).run().expect_code(0);
    drop(server);
    let left = stage.replay_twice();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // Sinks that run at the same time print in any order, and so do the groups of an aggregate.
    assert_eq!(sorted(&left.stdout), sorted(&live.stdout));
    assert!(left.stdout.contains("age_s"), "a lookup join\n{live}");
    assert!(
        left.stdout.contains("change_rate_mean"),
        "an aggregate\n{live}"
    );
    assert_eq!(left.rows("data.binance_trades").len(), 1000);
}

#[test]
fn retries_errors_and_rows_that_do_not_fit_come_again() {
    let sql = "CREATE TABLE items (id INTEGER, seen TIMESTAMP AS (TRIGGER_TIME())) WITH (
            connector = 'http', url = '${URL}/items', interval = '300ms', jq = '.[]',
            retry.max_attempts = 2, retry.initial_backoff = '10ms');
        CREATE TEMPORARY TABLE names ($id INTEGER, name STRING) WITH (
            connector = 'lookup-http', url = '${URL}/names/$id', retry.max_attempts = 1);
        CREATE VIEW named AS SELECT i.id, n.name FROM items AS i LEFT JOIN names AS n ON i.id = n.id;
        CREATE SINK out FROM named WITH (connector = 'stdout');";
    let server = Server::start();
    server.script(
        "/items",
        vec![
            Reply::status(503),
            Reply::json("[{\"id\": 1}, {\"id\": \"x\"}]"),
            Reply::hang_up(),
            Reply::status(429).header("Retry-After", "1"),
            Reply::json("not JSON"),
            Reply::json("[{\"id\": 2}]"),
            Reply::status(403),
            Reply::json("[{\"id\": 3}]"),
            Reply::json("[]"),
        ],
    );
    server.on("GET", "/names/*", |request| match request.path.as_str() {
        "/names/2" => Reply::status(500),
        path => Reply::value(&json!({"name": format!("name of {path}")})),
    });
    let stage = Stage::new(sql).env("URL", server.url());
    let mut running = stage.recording([]).spawn();
    running.wait_for_stdout("/names/3");
    running.interrupt();
    let live = running.wait().expect_code(0);
    drop(server);
    let left = stage.replay_twice();
    assert_eq!(left.stdout, live.stdout);
    let errors = left.rows("omlsp.error");
    let stages: Vec<&Value> = errors.iter().map(|error| &error["stage"]).collect();
    assert_eq!(stages, ["decode", "read", "lookup", "read"], "{errors:#?}");
    let messages = |part: &str| {
        let found = |error: &&Value| error["message"].as_str().unwrap_or("").contains(part);
        errors.iter().filter(found).count()
    };
    assert_eq!(messages("429"), 1, "{errors:#?}");
    assert_eq!(messages("500"), 1, "{errors:#?}");
    assert_eq!(messages("403"), 1, "{errors:#?}");
    // The clock of the errors is that of the record.
    let begin = &stage.lines("begin")[0]["at"];
    let end = &stage.lines("end")[0]["at"];
    for error in &errors {
        let time = error["time"].as_str().unwrap().replace(' ', "T");
        assert!(begin.as_str().unwrap() <= time.as_str(), "{error}");
        assert!(time.as_str() <= end.as_str().unwrap(), "{error}");
    }
}

#[test]
fn a_request_that_the_record_lacks_is_shown_with_the_nearest_one() {
    let sql = |path: &str| {
        format!(
            "CREATE TABLE items (id INTEGER) WITH (connector = 'http', url = '${{URL}}/items', \
             interval = '1m', params.kind = '{path}', params.limit = 10);"
        )
    };
    let server = Server::start();
    server.script("/items", vec![Reply::json("[{\"id\": 1}]")]);
    let url = server.url();
    let stage = Stage::new(&sql("spot")).env("URL", &url);
    stage.recording(["--once"]).run().expect_code(0);
    stage.project.file("pipeline.sql", sql("future"));
    let output = stage.replay().expect_code(1);
    let expected = format!(
        "error: the record lacks a request of `items`:\n  GET {url}/items?kind=future&limit=10\n\
         the nearest one is that of `items` in line 3:\n  GET {url}/items?kind=spot&limit=10\n  \
         the parameter `kind` is `future`, recorded was `spot`\n"
    );
    assert!(output.stderr.contains(&expected), "{output}");
    // A source that was not part of the run is named at once.
    stage.project.file(
        "pipeline.sql",
        format!(
            "{}\n{}",
            sql("spot"),
            sql("spot").replace("items", "others")
        ),
    );
    let output = stage.replay().expect_code(1);
    assert!(
        output.stderr.contains("was made without `others`"),
        "{output}"
    );
}

#[test]
fn a_run_that_goes_on_from_a_state_is_recorded_with_its_cursors() {
    let server = Server::start();
    let mut exchanges = Exchanges::new(5);
    exchanges.trade_count = 1500;
    exchanges.mount(&server);
    let stage = on_exchanges(&example("04_pagination.sql"), &server);
    stage
        .omlsp(["run", "pipeline.sql", "--once"])
        .run()
        .expect_code(0);
    exchanges.trade_count = 1600;
    exchanges.mount(&server);
    stage
        .omlsp(["run", "pipeline.sql", "--once", "--record", "record"])
        .run()
        .expect_code(0);
    drop(server);
    let left = stage.replay_twice();
    // What the state held before is not in the record; what came is.
    let ids: Vec<i64> = (left.rows("data.binance_trades").iter())
        .map(|row| row["a"].as_i64().unwrap())
        .collect();
    assert_eq!((ids.len(), ids.iter().max()), (101, Some(&1600)));
}

#[test]
fn a_record_and_a_state_are_never_written_over() {
    let sql = "CREATE SOURCE s (id INTEGER) WITH (connector = 'http', url = '${URL}/s', interval = '1m');";
    let server = Server::start();
    server.script("/s", vec![Reply::json("[{\"id\": 1}]")]);
    let stage = Stage::new(sql).env("URL", server.url());
    stage.recording(["--once"]).run().expect_code(0);
    let output = stage.recording(["--once"]).run().expect_code(1);
    assert!(output.stderr.contains("is there already"), "{output}");
    stage.replay_into("kept").0.expect_code(0);
    let (output, _) = stage.replay_into("kept");
    let output = output.expect_code(1);
    assert!(
        output
            .stderr
            .contains("a replay begins with an empty state"),
        "{output}"
    );
    // Without a directory on the command line, no state is touched.
    let replay = ["run", "pipeline.sql", "--replay", "record"];
    let replay = stage.omlsp(replay).env("OMLSP_STATE_DIR", "other");
    replay.run().expect_code(0);
    assert!(!stage.project.path().join("other").exists());
    assert!(!stage.project.path().join(".omlsp").exists());
}

#[test]
fn a_start_that_fails_leaves_room_for_its_record() {
    let sql = |columns: &str| {
        format!(
            "CREATE TABLE t ({columns}) WITH (connector = 'http', url = '${{URL}}/t', interval = '1m');"
        )
    };
    let server = Server::start();
    server.script("/t", vec![Reply::json("[{\"id\": 1}]")]);
    let stage = Stage::new(&sql("id INTEGER")).env("URL", server.url());
    let run = |more: &[&str]| {
        let args = ["run", "pipeline.sql", "--once", "--record", "record"].iter();
        stage.omlsp(args.chain(more).copied()).run()
    };
    run(&[]).expect_code(0);
    std::fs::remove_dir_all(stage.project.path().join("record")).expect("it was recorded");
    stage.project.file("pipeline.sql", sql("id BIGINT"));
    let refused = run(&[]).expect_code(1);
    assert!(refused.stderr.contains("--replace"), "{refused}");
    run(&["--replace"]).expect_code(0);
    assert!(stage.record().contains("/t"));
}
