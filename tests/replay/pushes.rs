//! What is pushed: WebSocket connections that the example's query asks for, lost ones, and generated rows.

use async_tungstenite::tungstenite::Message;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::exchanges::Exchanges;
use crate::support::http::Server;
use crate::support::ws::{Step, WsServer, text};

fn example() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path.join("pipelines/06_websocket.sql")).unwrap()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_websocket_example_replays_to_the_same_bytes_without_a_server() {
    let (polled, streams) = (Server::start(), WsServer::start());
    Exchanges::new(7).mount(&polled);
    streams.on("/ws/*", |connection| {
        let topic = connection.visit.target.trim_start_matches("/ws/");
        let symbol = topic.trim_end_matches("@ticker").to_owned();
        for number in 0..20 {
            let ticker = Exchanges::new(7).binance_stream_ticker(&symbol, number);
            connection.send(Message::text(ticker.to_string()))?;
        }
        connection.send(Message::text("no JSON"))?;
        connection.serve()
    });
    let stage = Stage::new(&example())
        .env("BINANCE_URL", polled.url())
        .env("BINANCE_WS_URL", streams.url());
    let mut running = stage.recording([]).spawn();
    running.wait_until(
        |running| running.stdout_line_count() == 100,
        "twenty of each",
    );
    running.interrupt();
    let live = running.wait().expect_code(0);
    drop((polled, streams));
    assert_eq!(
        (stage.lines("dial").len(), stage.lines("open").len()),
        (5, 5)
    );
    assert_eq!(stage.lines("frame").len(), 105);
    let left = stage.replay_twice();
    // The instants of receipt are those of the batches; everything else is as it was.
    let without = |text: &str| {
        let strip = |line: &str| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let row = row.as_object_mut().unwrap();
            row.remove("received_at");
            row.remove("delay_ms");
            json!(row).to_string()
        };
        text.lines().map(strip).collect::<Vec<_>>().join("\n")
    };
    let (replayed, printed) = (without(&left.stdout), without(&live.stdout));
    assert_eq!(sorted(&replayed), sorted(&printed));
    assert_eq!(left.rows("omlsp.error").len(), 5, "what is no JSON");

    // Other symbols are asked for: the record has no connection to one of them.
    stage
        .project
        .file("pipeline.sql", example().replace("LIMIT 5", "LIMIT 6"));
    let output = stage.replay().expect_code(1);
    for part in [
        "error: the record lacks a request of `live_tickers`:\n  connect ws://127.0.0.1:",
        "the nearest one is that of `live_tickers` in line",
        "the path is `/ws/",
    ] {
        assert!(output.stderr.contains(part), "{part}\n{output}");
    }
    // Fewer are a choice among the recorded ones.
    stage
        .project
        .file("pipeline.sql", example().replace("LIMIT 5", "LIMIT 2"));
    let output = stage.replay().expect_code(0);
    assert_eq!(output.stdout.lines().count(), 40, "{output}");
}

#[test]
fn gaps_and_secrets_of_connections_are_as_in_the_run() {
    let server = WsServer::start();
    let secret = "subscribe-Secret/1";
    let script = vec![
        vec![
            text(json!({"a": 1})),
            text(json!({"a": 2, "echo": secret})),
            Step::Close(1011, "overloaded".to_owned()),
        ],
        vec![
            text(json!({"a": 3})),
            Step::Binary(b"{\"a\":4}".to_vec()),
            Step::Serve,
        ],
    ];
    server.script("/", script);
    let sql = "CREATE SECRET token WITH (backend = 'env') AS 'TOKEN';
        CREATE SECRET query WITH (backend = 'env') AS 'QUERY';
        CREATE TABLE pushed (a BIGINT, echo VARCHAR) WITH (connector = 'ws', url = '${WS}/?apikey=url-Secret-2',
            headers.Authorization = SECRET token, subscribe.0 = '{\"login\":\"${TOKEN}\"}', subscribe.1 = SECRET query);
        CREATE SINK out FROM pushed WITH (connector = 'stdout');";
    let stage = Stage::new(sql)
        .env("WS", server.url())
        .env("TOKEN", secret)
        .env("QUERY", "second-Secret\"3");
    let mut running = stage.recording([]).spawn();
    running.wait_until(
        |running| running.stdout_line_count() == 4,
        "both connections",
    );
    running.interrupt();
    let live = running.wait().expect_code(0);
    drop(server);
    let record = stage.record();
    for hidden in ["Secret/1", "Secret\\/1", "Secret-2", "second-Secret"] {
        assert!(!record.contains(hidden), "{hidden} in\n{record}");
    }
    let left = stage.replay_twice();
    assert_eq!(left.stdout.replace("***", secret), live.stdout);
    let errors = left.rows("omlsp.error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let message = errors[0]["message"].as_str().unwrap();
    assert!(message.starts_with("gap "), "{message}");
    assert!(message.contains("1011: overloaded"), "{message}");
    let close = &stage.lines("close")[0];
    // To the millisecond, which is what a gap says.
    let last = &close["last"].as_str().unwrap()[..23];
    assert!(message.contains(last), "{message}\n{close}");
}

#[test]
fn generated_rows_come_at_the_instants_at_which_they_were_made() {
    let sql = "CREATE TABLE made (n BIGINT, at_ms BIGINT AS (TRIGGER_EPOCH_TIME()))
            WITH (connector = 'generate', rows = 30, rows_per_second = 100);
        CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS total FROM made;
        CREATE SINK out FROM total WITH (connector = 'stdout', changes = 'op');
        CREATE SINK kept FROM made WITH (connector = 'file', path = 'out/made.json');";
    let stage = Stage::new(sql);
    stage.recording(["--once"]).run().expect_code(0);
    let live = stage.project.read("out/made-000001.json").unwrap();
    std::fs::remove_dir_all(stage.project.path().join("out")).unwrap();
    let left = stage.replay_twice();
    assert_eq!(String::from_utf8_lossy(&left.files[0].1), live);
    assert_eq!(live.lines().count(), 30);
}
