//! The ws source against a server that misbehaves by script: what becomes a row, and what the user is told.

#[path = "ws/harness.rs"]
mod harness;
#[path = "ws/load.rs"]
mod load;
#[path = "ws/pipeline.rs"]
mod pipeline;
#[path = "ws/query.rs"]
mod query;
mod support;
#[path = "ws/tls.rs"]
mod tls;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::Message;
use harness::{Run, wait_for};
use omlsp::connector::Event;
use support::address;
use support::ws::{Step, WsServer, text};

/// A server whose connections play the scripts in turn.
fn scripted(scripts: Vec<Vec<Step>>) -> WsServer {
    let server = WsServer::start();
    server.script("/", scripts);
    server
}

fn open(server: &WsServer, with: &str) -> Run {
    Run::open(&format!("url = '{}/', {with}", server.url()))
}

/// The first connection ends as scripted after one row, the second brings another row: one gap lies
/// between, and this is its reason.
#[track_caller]
fn reason_of(end: Vec<Step>, with: &str) -> String {
    let mut first = vec![text(r#"{"a":1}"#)];
    first.extend(end);
    let server = scripted(vec![first, vec![text(r#"{"a":2}"#)]]);
    let mut run = open(&server, with);
    run.until_rows(2);
    assert_eq!(run.rows(), [1, 2]);
    let gaps = run.until_gaps(1);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    // The first backoff is 250 ms or more.
    assert!(gaps[0].part.is_empty() && gaps[0].millis >= 250, "{gaps:?}");
    let (attempt, pause, error) = &run.retries()[0];
    assert_eq!(
        (*attempt, error),
        (1, &format!("connection lost: {}", gaps[0].reason))
    );
    assert!(*pause >= Duration::from_millis(250) && *pause <= Duration::from_millis(500));
    assert!(run.rejects.is_empty() && run.warnings().is_empty());
    gaps[0].reason.clone()
}

#[test]
fn text_binary_and_fragments_become_rows() {
    // RFC 6455 section 5.7: a fragmented text, with a ping between the fragments.
    let fragments = [
        &[0x01, 4][..],
        br#"{"a""#,
        &[0x89, 1, b'!'],
        &[0x00, 2],
        b":3",
        &[0x80, 1],
        b"}",
    ];
    let server = scripted(vec![vec![
        text(r#"{"a":1}"#),
        Step::Binary(br#"[{"a":2},{"b":0}]"#.to_vec()),
        Step::Garbage(fragments.concat()),
        text(r#"{"a":"4"} {"a":5}"#),
    ]]);
    let before = chrono::Utc::now();
    let mut run = open(&server, "");
    run.until_rows(5);
    assert_eq!(run.rows(), [1, 2, 3, 4, 5]);
    assert!(
        run.triggers
            .iter()
            .all(|trigger| *trigger >= before && *trigger <= chrono::Utc::now())
    );
    wait_for("the answer to the ping", || server.pong_count() == 1);
    let bytes = run.events().into_iter().filter_map(|event| match event {
        Event::Bytes(count) => Some(count),
        _ => None,
    });
    assert_eq!(bytes.sum::<u64>(), 7 + 17 + 7 + 17);
    assert_eq!(run.gaps().len(), 0);
}

#[test]
fn headers_and_subscriptions_are_sent_on_every_connect() {
    let server = scripted(vec![
        vec![Step::Await(2), text(r#"{"a":1}"#), Step::HangUp],
        vec![Step::Await(2), text(r#"{"a":2}"#)],
    ]);
    let with = "headers.Authorization = SECRET token, headers.X-Trace = 'ü', \
                subscribe.0 = '{\"op\":\"login\"}', subscribe.1 = SECRET token";
    let mut run = open(&server, with);
    run.until_rows(2);
    let visits = server.visits();
    assert_eq!(visits.len(), 2);
    for visit in &visits {
        let header = |name: &str| {
            visit
                .headers
                .iter()
                .find(|(other, _)| other == name)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(header("authorization"), "s3cr3t-t0ken");
        assert_eq!(header("x-trace"), "ü");
        assert!(header("user-agent").starts_with("omlsp/"));
    }
    let login = r#"{"op":"login"}"#;
    assert_eq!(
        server.texts(),
        [login, "s3cr3t-t0ken", login, "s3cr3t-t0ken"]
    );
    assert!(!format!("{:?}", run.events()).contains("s3cr3t"));
}

#[test]
fn batches_end_by_rows_or_by_linger() {
    let messages = (0..25).map(|a| text(format!("{{\"a\":{a}}}"))).collect();
    let server = scripted(vec![messages]);
    let mut run = open(&server, "batch.max_rows = 10, batch.linger = '400ms'");
    run.until_rows(25);
    let sizes: Vec<usize> = run.batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 5]);
    server.push(None, r#"[{"a":1},{"a":2},{"a":3},{"a":4},{"a":5},{"a":6},{"a":7},{"a":8},{"a":9},{"a":10},{"a":11}]"#);
    run.until_rows(36);
    // A message of more rows than a batch may have is cut.
    let sizes: Vec<usize> = run.batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 5, 10, 1]);
}

#[test]
fn what_is_not_committed_comes_again() {
    let server = scripted(vec![vec![text(r#"{"a":1}"#)]]);
    let mut run = open(&server, "");
    let mut refused = 0;
    while refused == 0 {
        let result = run.read(&mut |_| {
            refused += 1;
            anyhow::bail!("the disk is full")
        });
        assert!(result.is_ok() || result.unwrap_err().to_string() == "the disk is full");
    }
    run.until_rows(1);
    assert_eq!(run.rows(), [1]);
}

#[test]
fn a_message_that_is_no_json_is_a_reject_and_the_others_go_on() {
    let server = scripted(vec![vec![
        text(r#"{"a":1}"#),
        text("<html>busy</html>"),
        text(r#"{"a":"x"}"#),
        Step::Binary(vec![0xff, 0xfe]),
        text(r#"{"a":2}"#),
    ]]);
    let mut run = open(&server, "");
    run.until_rows(2);
    let payloads: Vec<&str> = run
        .rejects
        .iter()
        .map(|reject| reject.payload.as_str())
        .collect();
    assert_eq!(
        payloads,
        ["<html>busy</html>", r#"{"a":"x"}"#, "\u{fffd}\u{fffd}"]
    );
    assert!(
        run.rejects[0].message.contains("not valid JSON"),
        "{:?}",
        run.rejects
    );
    assert_eq!((run.rows(), run.gaps().len()), (vec![1, 2], 0));
}

#[test]
fn pings_of_both_kinds_keep_a_quiet_connection_open() {
    let server = WsServer::start();
    server.on("/", |connection| connection.serve());
    let with = "ping_interval = '100ms', idle_timeout = '600ms', ping_message = 'ping'";
    let mut run = open(&server, with);
    run.until("ten pings", |_| server.ping_count() >= 10);
    assert!(server.texts().iter().all(|text| text == "ping") && server.texts().len() >= 9);
    // The answer of some exchanges is no row.
    server.push(None, "pong");
    server.push(None, r#"{"a":1}"#);
    run.until_rows(1);
    assert!(run.rejects.is_empty());
    assert_eq!((server.visits().len(), run.gaps().len()), (1, 0));
}

#[test]
fn a_server_that_hangs_up_is_a_gap() {
    let reason = reason_of(
        vec![Step::Pause(Duration::from_millis(50)), Step::HangUp],
        "",
    );
    assert_eq!(reason, "the server hung up without a close frame");
}

#[test]
fn a_server_that_stalls_is_a_gap_after_the_idle_timeout() {
    let reason = reason_of(
        vec![Step::Stall],
        "ping_interval = '50ms', idle_timeout = '300ms'",
    );
    assert_eq!(reason, "nothing arrived for 300ms (`idle_timeout`)");
}

#[test]
fn garbage_is_a_gap() {
    let reason = reason_of(vec![Step::Garbage(vec![0xff; 64])], "");
    assert!(
        reason.starts_with("the server broke the protocol: "),
        "{reason}"
    );
    let latin = reason_of(vec![Step::Garbage(vec![0x81, 2, b'a', 0xe9])], "");
    assert_eq!(latin, "a text message is not UTF-8");
}

#[test]
fn half_a_frame_is_a_gap_and_no_row() {
    let half = [&[0x81, 100][..], br#"{"a":9}"#].concat();
    let reason = reason_of(vec![Step::Garbage(half), Step::HangUp], "");
    assert_eq!(reason, "the server hung up without a close frame");
}

#[test]
fn a_close_frame_is_a_gap_with_its_code_and_words() {
    let reason = reason_of(vec![Step::Close(1008, "too many streams".to_owned())], "");
    assert_eq!(
        reason,
        "the server closed the connection with 1008: too many streams"
    );
    let reason = reason_of(vec![Step::Close(1001, String::new())], "");
    assert_eq!(reason, "the server closed the connection with 1001");
}

#[test]
fn a_close_frame_is_answered() {
    let server = scripted(vec![vec![Step::Close(1012, "restart".to_owned())], vec![]]);
    let mut run = open(&server, "");
    run.until_gaps(1);
    let answer = server.received().remove(0);
    assert_eq!(answer.connection, 1);
    assert!(matches!(answer.message, Message::Close(Some(frame)) if u16::from(frame.code) == 1012));
}

#[test]
fn a_message_beyond_the_bound_is_a_gap() {
    let large = Step::Text(format!("{{\"a\":0,\"pad\":\"{}\"}}", "x".repeat(64 << 20)));
    let reason = reason_of(vec![large], "");
    let expected =
        "a message of 67108880 bytes or more is longer than `max_frame_bytes` (16777216)";
    assert_eq!(reason, expected);
}

#[test]
fn a_large_message_within_the_bound_is_a_row() {
    let large = Step::Text(format!("{{\"a\":1,\"pad\":\"{}\"}}", "x".repeat(64 << 20)));
    let server = scripted(vec![vec![large, text(r#"{"a":2}"#)]]);
    let mut run = open(&server, "max_frame_bytes = '100MiB'");
    run.until_rows(2);
    assert_eq!((run.rows(), run.gaps().len()), (vec![1, 2], 0));
}

#[test]
fn a_refused_handshake_is_told_once_and_tried_for_ever() {
    let server = scripted(vec![vec![text(r#"{"a":1}"#)]]);
    server.refuse(&[401, 401, 503]);
    let mut run = open(&server, "headers.Authorization = SECRET token");
    run.until_rows(1);
    let told = "the server refused the handshake with 401 Unauthorized: refused by the script";
    assert_eq!(run.warnings(), [told]);
    let retries = run.retries();
    let attempts: Vec<u32> = retries.iter().map(|(attempt, _, _)| *attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(retries[2].2.contains("503 Service Unavailable"));
    // What was never connected has no gap.
    assert_eq!(run.gaps().len(), 0);
}

#[test]
fn too_many_requests_are_answered_with_the_patience_asked_for() {
    let address = address::unused();
    let listener = TcpListener::bind(address).unwrap();
    let refusing = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let answer =
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        drop(listener);
        (WsServer::start_at(address), Instant::now())
    });
    let mut run = Run::open(&format!("url = 'ws://{address}/'"));
    run.until("the refusal", |run| !run.retries().is_empty());
    let (server, refused_at) = refusing.join().unwrap();
    run.until("a connection", |_| !server.visits().is_empty());
    let (_, pause, error) = run.retries().remove(0);
    assert_eq!(pause, Duration::from_secs(2));
    assert_eq!(
        error,
        "the server refused the handshake with 429 Too Many Requests"
    );
    let waited = server.visits()[0].at - refused_at;
    assert!(waited >= Duration::from_millis(1900), "{waited:?}");
}

#[test]
fn nobody_at_the_address_is_told() {
    let address = address::unused();
    let mut run = Run::open(&format!("url = 'ws://{address}/?key=hidden'"));
    run.until("three attempts", |run| run.retries().len() >= 3);
    let warnings = run.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("cannot connect: Connection refused"),
        "{warnings:?}"
    );
    assert!(!format!("{:?}", run.events()).contains("hidden"));
    let server = WsServer::start_at(address);
    run.until("a connection", |_| server.open_count() == 1);
}

#[test]
fn a_stop_ends_the_read_and_the_end_of_the_reader_closes_properly() {
    let server = scripted(vec![vec![text(r#"{"a":1}"#)]]);
    let mut run = open(&server, "");
    run.until_rows(1);
    assert!(run.stop_and_read().is_some());
    drop(run);
    let closed = || {
        let received = server.received();
        received.iter().any(|one| matches!(&one.message, Message::Close(Some(frame)) if u16::from(frame.code) == 1000))
    };
    assert!(closed(), "{:?}", server.received());
    wait_for("the end of the connection", || server.open_count() == 0);
}

#[test]
fn a_source_that_is_dropped_while_it_waits_is_gone_at_once() {
    let server = WsServer::start();
    server.refuse(&[503; 100]);
    let mut run = open(&server, "");
    run.until("a retry", |run| !run.retries().is_empty());
    let start = Instant::now();
    drop(run);
    assert!(start.elapsed() < Duration::from_secs(1));
}
