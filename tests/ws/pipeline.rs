//! Whole pipelines with the real binary: what the user sees of a stream and of its gaps.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use serde_json::{Value, json};

use crate::harness::wait_for;
use crate::support::binary::{Omlsp, Project, Running};
use crate::support::exchanges::Exchanges;
use crate::support::http::{Reply, Server};
use crate::support::ws::{Step, WsServer, text};

/// Prepares `omlsp run` of a pipeline in which `${WS}` is the server.
fn run(project: &Project, server: &WsServer, sql: &str) -> Omlsp {
    project.file("pipeline.sql", sql);
    project
        .omlsp(["run", "pipeline.sql"])
        .env("WS", server.url())
}

/// Returns the rows of a statement, from the run.
fn sql(project: &Project, statement: &str) -> Vec<Value> {
    let args = ["sql", "--format", "json", statement];
    project.omlsp(args).run().expect_code(0).json_lines()
}

#[test]
fn the_example_follows_the_symbols_of_its_view() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/06_websocket.sql");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.matches("= '10m'").count(), 2);
    let (project, polled, streams) = (Project::new(), Server::start(), WsServer::start());
    project.file("pipeline.sql", text.replace("= '10m'", "= '200ms'"));
    // Eight markets; the turnover of one changes.
    let turnover = Arc::new(Mutex::new(50));
    let changing = Arc::clone(&turnover);
    polled.on("GET", "/api/v3/ticker/24hr", move |_| {
        let changing = *changing.lock().unwrap();
        let market = |(index, base): (usize, &str)| {
            let turnover = if base == "SOL" {
                changing
            } else {
                100 * (9 - index)
            };
            json!({"symbol": format!("{base}USDT"), "quoteVolume": turnover.to_string()})
        };
        let bases = ["BTC", "ETH", "XRP", "BNB", "ADA", "TRX", "SOL", "DOT"];
        Reply::value(&bases.into_iter().enumerate().map(market).collect())
    });
    streams.on("/ws/*", |connection| {
        let topic = connection.visit.target.trim_start_matches("/ws/");
        let symbol = topic.trim_end_matches("@ticker").to_owned();
        let exchanges = Exchanges::new(7);
        for number in 0..3 {
            let ticker = exchanges.binance_stream_ticker(&symbol, number);
            connection.send(Message::text(ticker.to_string()))?;
        }
        // An event of another kind, which the filter leaves out.
        connection.send(Message::text(r#"{"e":"trade","s":"X","c":"1"}"#))?;
        connection.serve()
    });
    let mut running = (project.omlsp(["run", "pipeline.sql"]))
        .env("BINANCE_URL", polled.url())
        .env("BINANCE_WS_URL", streams.url())
        .spawn();
    running.wait_until(
        |running| running.stdout_line_count() == 15,
        "three rows of each",
    );
    let targets = |streams: &WsServer| -> BTreeSet<String> {
        streams
            .visits()
            .into_iter()
            .map(|visit| visit.target)
            .collect()
    };
    let of = |symbols: &[&str]| -> BTreeSet<String> {
        symbols
            .iter()
            .map(|symbol| format!("/ws/{symbol}usdt@ticker"))
            .collect()
    };
    assert_eq!(targets(&streams), of(&["btc", "eth", "xrp", "bnb", "ada"]));
    // One takes the place of another.
    *turnover.lock().unwrap() = 550;
    running.wait_until(
        |running| running.stdout_line_count() == 18,
        "the rows of the new one",
    );
    wait_for("the end of the one that is out", || {
        streams.open_count() == 5
    });
    assert_eq!(
        targets(&streams),
        of(&["btc", "eth", "xrp", "bnb", "ada", "sol"])
    );
    assert_eq!(streams.visits().len(), 6, "the others stay connected");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let exchanges = Exchanges::new(7);
    for row in output.json_lines() {
        let symbol = row["symbol"].as_str().unwrap().to_lowercase();
        let sent = (0..3)
            .map(|number| exchanges.binance_stream_ticker(&symbol, number))
            .find(|sent| sent["E"] == row["event_ms"])
            .unwrap_or_else(|| panic!("never sent: {row}"));
        for (name, field) in [("last", "c"), ("bid", "b"), ("ask", "a")] {
            let number: f64 = sent[field].as_str().unwrap().parse().unwrap();
            assert_eq!(row[name].as_f64(), Some(number), "{name}: {row}");
        }
        assert!(row["delay_ms"].as_i64() > Some(0), "{row}");
    }
    for word in ["ERROR", "gap", "trying again"] {
        assert!(!output.stderr.contains(word), "{output}");
    }
}

/// A source that keeps its rows, and after this time is tired of silence.
fn table(idle_timeout: &str) -> String {
    format!(
        "CREATE TABLE pushed (a BIGINT) WITH (connector = 'ws', url = '${{WS}}/',
            headers.Authorization = SECRET token, ping_interval = '100ms', idle_timeout = '{idle_timeout}');
        CREATE SECRET token WITH (backend = 'env') AS 'TOKEN';"
    )
}

/// Soon enough for a test.
const SOON: &str = "1500ms";

/// Plays the scripts one after the other to the table, waits for the row of the last, and returns the gaps of
/// `omlsp_errors` and what was logged.
fn gaps_of(table: &str, scripts: Vec<Vec<Step>>, last: i64) -> (Vec<String>, String) {
    let (project, server) = (Project::new(), WsServer::start());
    let count = scripts.len();
    server.script("/", scripts);
    let mut running = run(&project, &server, table)
        .env("TOKEN", "s3cr3t-t0ken")
        .spawn();
    running.wait_for_stderr("running");
    let there = |project: &Project| {
        sql(
            project,
            &format!("SELECT count(*) AS n FROM pushed WHERE a = {last}"),
        )
    };
    running.wait_until(|_| there(&project) == [json!({"n": 1})], "the last row");
    let shown = sql(&project, "SHOW TABLES").remove(0);
    assert_eq!(
        (&shown["state"], &shown["gaps"]),
        (&json!("running"), &json!(count - 1)),
        "{shown}"
    );
    let recorded = sql(
        &project,
        "SELECT entity, message FROM omlsp_errors WHERE stage = 'gap' ORDER BY time",
    );
    assert!(recorded.iter().all(|row| row["entity"] == "pushed"));
    running.interrupt();
    let output = running.wait().expect_code(0);
    assert!(
        !format!("{output}{recorded:?}").contains("s3cr3t"),
        "{output}"
    );
    let message = |row: &Value| row["message"].as_str().unwrap().to_owned();
    (recorded.iter().map(message).collect(), output.stderr)
}

/// Plays ends of connections, each after a row, and compares the gaps that they make with their reasons.
fn expect_gaps(table: &str, ends: &[(Step, &str)]) {
    let scripts = ends.iter().zip(1..).map(|((end, _), a)| {
        let row = text(format!("{{\"a\":{a}}}"));
        match end {
            // Half a frame is followed by silence.
            Step::Garbage(bytes) if bytes.len() < 64 => vec![row, end.clone(), Step::Stall],
            _ => vec![row, end.clone()],
        }
    });
    let last = vec![text(r#"{"a":99}"#)];
    let (gaps, log) = gaps_of(table, scripts.chain([last]).collect(), 99);
    assert_eq!(gaps.len(), ends.len(), "{gaps:#?}");
    for (gap, (_, reason)) in gaps.iter().zip(ends) {
        let (instants, why) = gap.split_once(": ").unwrap();
        assert!(why.starts_with(reason), "{gap}");
        let words: Vec<&str> = instants.split(' ').collect();
        let &["gap", "from", from, "to", to] = words.as_slice() else {
            panic!("{gap}")
        };
        let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
        assert!(
            instant(to) - instant(from) >= chrono::TimeDelta::milliseconds(250),
            "{gap}"
        );
        assert!(log.contains(gap), "{gap} is not in\n{log}");
    }
}

#[test]
fn every_way_to_lose_a_connection_is_a_gap_in_the_log_the_errors_and_the_count() {
    let large = format!("{{\"a\":0,\"pad\":\"{}\"}}", "x".repeat(64 << 20));
    // A machine under load takes its time to send 64 MB: nobody is to be tired of that.
    expect_gaps(
        &table("60s"),
        &[
            (Step::HangUp, "the server hung up without a close frame"),
            (
                Step::Garbage(vec![0xff; 64]),
                "the server broke the protocol: ",
            ),
            (
                Step::Close(1008, "too many".to_owned()),
                "the server closed the connection with 1008: too many",
            ),
            (
                Step::Text(large),
                "a message of 67108880 bytes or more is longer than `max_frame_bytes` (16777216)",
            ),
        ],
    );
}

#[test]
fn silence_is_a_gap_also_in_the_middle_of_a_frame() {
    let half_a_frame = [&[0x81, 100][..], br#"{"a":9}"#].concat();
    let reason = "nothing arrived for 1.5s (`idle_timeout`)";
    expect_gaps(
        &table(SOON),
        &[(Step::Stall, reason), (Step::Garbage(half_a_frame), reason)],
    );
}

#[test]
fn a_frame_that_comes_slowly_is_no_silence() {
    let row = |a: i64| format!("{{\"a\":{a}}}").into_bytes();
    let mut frame = vec![0x81, 100];
    frame.extend([b' '; 93]);
    frame.extend(row(7));
    // In all it takes twice as long as silence may last.
    let mut slow: Vec<Step> = Vec::new();
    for piece in frame.chunks(17) {
        slow.extend([
            Step::Garbage(piece.to_vec()),
            Step::Hush(Duration::from_millis(500)),
        ]);
    }
    slow.extend([text(r#"{"a":8}"#), Step::HangUp]);
    let (gaps, _) = gaps_of(&table(SOON), vec![slow, vec![text(r#"{"a":9}"#)]], 9);
    assert!(
        gaps.len() == 1 && gaps[0].contains("hung up"),
        "only the end is one: {gaps:#?}"
    );
}

#[test]
fn a_refused_handshake_is_a_state_and_one_line() {
    for (status, words) in [(401, "401 Unauthorized"), (429, "429 Too Many Requests")] {
        let (project, server) = (Project::new(), WsServer::start());
        server.script("/", vec![vec![text(r#"{"a":1}"#)]]);
        server.refuse(&[status; 4]);
        let mut running = run(&project, &server, &table(SOON))
            .env("TOKEN", "s3cr3t-t0ken")
            .spawn();
        let refused = format!("the server refused the handshake with {words}");
        running.wait_for_stderr(&refused);
        let shown = sql(&project, "SHOW TABLES").remove(0);
        assert_eq!(
            (&shown["state"], &shown["gaps"]),
            (&json!("retrying"), &json!(0)),
            "{shown}"
        );
        assert!(
            shown["last_error"].as_str().unwrap().starts_with(&refused),
            "{shown}"
        );
        running.wait_until(
            |_| server.open_count() == 1,
            "a connection after the refusals",
        );
        running.wait_until(
            |_| sql(&project, "SHOW TABLES").remove(0)["state"] == "running",
            "the state of a source that works",
        );
        running.interrupt();
        let output = running.wait().expect_code(0);
        let told = output
            .stderr
            .lines()
            .filter(|line| line.contains("ERROR") || line.contains("WARN"));
        // Once as what is wrong, once as what is done about it.
        assert_eq!(told.count(), 2, "{output}");
        assert!(!format!("{output}").contains("s3cr3t"), "{output}");
    }
}

/// The threads and the resident memory in bytes of a process.
fn size_of(running: &Running) -> (usize, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let number = |name: &str| -> u64 {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (
        usize::try_from(number("Threads:")).unwrap(),
        number("VmRSS:") * 1024,
    )
}

/// Rounds in which the log of the source is written to the database and emptied several times: memory rises and
/// falls between.
const ROUNDS: usize = 160;

/// Connects so many, sends each of them a message in each round, and returns the sizes of the process when all are
/// connected, and the largest of each of so many times [`ROUNDS`].
fn sizes(connections: usize, times: usize) -> ((usize, u64), Vec<(usize, u64)>) {
    let (project, server) = (Project::new(), WsServer::start());
    server.on("/*", |connection| connection.serve());
    let pipeline = format!(
        "CREATE TABLE streams (n BIGINT) WITH (connector = 'generate', rows = {connections});
        CREATE SOURCE pushed (a BIGINT, pad VARCHAR) WITH (connector = 'ws', url = '${{WS}}/$n',
            on_start_query = 'SELECT n FROM streams', on_start_refresh = '1h');
        CREATE SINK printed FROM (SELECT a FROM pushed) WITH (connector = 'stdout');"
    );
    let mut running = run(&project, &server, &pipeline).spawn();
    running.wait_until(|_| server.open_count() == connections, "all connections");
    let message = format!("{{\"a\":1,\"pad\":\"{}\"}}", "x".repeat(1000));
    let mut rounds = 0;
    let mut play = || {
        server.push(None, &message);
        rounds += 1;
        running.wait_until(
            |running| running.stdout_line_count() == rounds * connections,
            "a row of each",
        );
        size_of(&running)
    };
    let first = play();
    let mut largest = Vec::new();
    for _ in 0..times {
        let sizes: Vec<(usize, u64)> = (0..ROUNDS).map(|_| play()).collect();
        let threads = sizes.iter().map(|(threads, _)| *threads).max();
        let bytes = sizes.iter().map(|(_, bytes)| *bytes).max();
        largest.push((threads.unwrap(), bytes.unwrap()));
    }
    assert_eq!(
        server.visits().len(),
        connections,
        "nobody had to connect again"
    );
    running.interrupt();
    running.wait().expect_code(0);
    (first, largest)
}

#[test]
fn five_hundred_connections_have_flat_memory_and_no_threads_of_their_own() {
    let ((threads_of_one, bytes_of_one), _) = sizes(1, 0);
    let ((threads, bytes), later) = sizes(500, 3);
    let mebibytes: Vec<u64> = later.iter().map(|(_, bytes)| bytes >> 20).collect();
    println!(
        "1 connection: {threads_of_one} threads, {} MiB; 500: {threads} threads, {} MiB, later {mebibytes:?}",
        bytes_of_one >> 20,
        bytes >> 20,
    );
    // Name lookups share four threads, which come and go.
    let threads_most = later.iter().map(|(threads, _)| *threads).max().unwrap();
    assert!(
        threads.max(threads_most) <= threads_of_one + 6,
        "{threads} and {threads_most} threads for 500"
    );
    // Their read buffers are 32 MiB together.
    assert!(
        bytes < bytes_of_one + (80 << 20),
        "{} MiB for 500",
        bytes >> 20
    );
    // The first of them fills the caches of the allocator and of the engine.
    let grown = later[2].1.saturating_sub(later[1].1);
    assert!(
        grown < 16 << 20,
        "{} MiB more after 80,000 more messages",
        grown >> 20
    );
}

#[test]
fn a_stalled_consumer_stalls_the_server_and_nothing_is_dropped() {
    const MESSAGES: usize = 100_000;
    let (project, server) = (Project::new(), WsServer::start());
    server.on("/", |connection| {
        for a in 0..MESSAGES {
            connection.write(Message::text(format!(
                "{{\"a\":{a},\"pad\":\"{}\"}}",
                "x".repeat(180)
            )))?;
        }
        connection.flush()?;
        connection.serve()
    });
    let pipeline = "CREATE SOURCE pushed (a BIGINT) WITH (connector = 'ws', url = '${WS}/');
        CREATE SINK printed FROM pushed WITH (connector = 'stdout');";
    let mut running = run(&project, &server, pipeline).spawn();
    running.wait_until(|running| running.stdout_line_count() > 0, "rows");
    // The whole process stands still for a while, as on a machine that swaps.
    running.signal("STOP");
    std::thread::sleep(Duration::from_secs(1));
    running.signal("CONT");
    running.wait_until(
        |running| running.stdout_line_count() == MESSAGES,
        "every row",
    );
    running.interrupt();
    let output = running.wait().expect_code(0);
    assert!(
        output
            .stdout
            .lines()
            .enumerate()
            .all(|(a, line)| line == format!("{{\"a\":{a}}}"))
    );
    assert!(!output.stderr.contains("gap"), "{}", output.stderr);
}

#[test]
fn large_messages_without_a_pause_do_not_gather_in_memory() {
    const MESSAGES: usize = 150_000;
    let (project, server) = (Project::new(), WsServer::start());
    server.on("/", |connection| {
        let pad = "x".repeat(2000);
        for a in 0..MESSAGES {
            connection.write(Message::text(format!("{{\"a\":{a},\"pad\":\"{pad}\"}}")))?;
        }
        connection.flush()?;
        connection.serve()
    });
    let pipeline = "CREATE SOURCE pushed (a BIGINT) WITH (connector = 'ws', url = '${WS}/');
        CREATE SINK kept FROM (SELECT count(*) AS rows FROM pushed) WITH (connector = 'stdout', changes = 'op');";
    let mut running = run(&project, &server, pipeline).spawn();
    let all = format!("\"rows\":{MESSAGES}}}");
    running.wait_until(|running| running.stdout().contains(&all), "every row");
    let peak = running.memory_peak_bytes().unwrap();
    running.interrupt();
    running.wait().expect_code(0);
    // All messages together are 300 MB; 16 may wait for the reader, and 8 are decoded at once.
    assert!(peak < 200 << 20, "{} MiB at the most", peak >> 20);
}

/// A server that sends so many numbered messages of about 200 bytes, and a ping whose answer says that all were read.
fn padded(count: usize) -> WsServer {
    let server = WsServer::start();
    server.on("/", move |connection| {
        let pad = "x".repeat(180);
        for a in 0..count {
            connection.write(Message::text(format!("{{\"a\":{a},\"pad\":\"{pad}\"}}")))?;
        }
        connection.send(Message::Ping(Vec::new().into()))?;
        connection.serve()
    });
    server
}

#[test]
fn what_was_received_while_a_reader_is_too_far_behind_is_in_the_state_after_a_stop() {
    // More than a reader may lack, and not more than memory holds beside that.
    const MESSAGES: usize = 1_100_000;
    let (project, server, slow) = (Project::new(), padded(MESSAGES), Server::start());
    slow.on("POST", "/", |_| {
        Reply::status(200).delay(Duration::from_millis(500))
    });
    let pipeline = "CREATE TABLE pushed (a BIGINT) WITH (connector = 'ws', url = '${WS}/');
        CREATE SINK sent FROM pushed WITH (connector = 'http', url = '${SLOW}/');";
    let mut running = run(&project, &server, pipeline)
        .env("SLOW", slow.url())
        .spawn();
    running.wait_until(|_| server.pong_count() == 1, "the answer to the ping");
    running.wait_until(
        |running| running.stderr().contains("waiting for a reader"),
        "a source that waits",
    );
    running.interrupt();
    running.wait().expect_code(0);
    let kept = sql(&project, "SELECT count(*) AS n, max(a) AS last FROM pushed");
    assert_eq!(kept, [json!({"n": MESSAGES, "last": MESSAGES - 1})]);
}

#[test]
fn what_was_received_before_an_interrupt_is_in_the_file() {
    const MESSAGES: usize = 200_000;
    let (project, server) = (Project::new(), padded(MESSAGES));
    let pipeline = "CREATE SOURCE pushed (a BIGINT) WITH (connector = 'ws', url = '${WS}/');
        CREATE SINK kept FROM pushed WITH (connector = 'file', path = 'kept.json');";
    let mut running = run(&project, &server, pipeline).spawn();
    running.wait_until(|_| server.pong_count() == 1, "the answer to the ping");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let kept = project.read("kept-000001.json").unwrap_or_default();
    let complete = kept
        .lines()
        .enumerate()
        .all(|(a, line)| line == format!("{{\"a\":{a}}}"));
    assert!(
        complete && kept.lines().count() == MESSAGES,
        "{} rows\n{output}",
        kept.lines().count()
    );
}
