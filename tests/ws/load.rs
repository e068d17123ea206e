//! Floods, slow consumers, and many connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::{Message, accept};
use serde_json::json;

use crate::harness::{Run, wait_for};
use crate::support::ws::{Step, WsServer, flooding, text};

/// More than all buffers on the way hold together.
const FLOOD: i64 = 400_000;

/// Waits until a number has not changed for half a second, and returns it.
fn settled(number: &AtomicI64) -> i64 {
    let mut last = (number.load(Ordering::SeqCst), Instant::now());
    while last.1.elapsed() < Duration::from_millis(500) {
        std::thread::sleep(Duration::from_millis(10));
        let now = number.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

#[test]
fn a_slow_consumer_slows_the_server_down_and_loses_nothing() {
    let (server, sent) = flooding(FLOOD);
    let with = "ping_interval = '200ms', idle_timeout = '1s'";
    let mut run = Run::open(&format!("url = '{}/', {with}", server.url()));
    let mut held = 0;
    while held == 0 {
        run.read(&mut |_| {
            if held == 0 {
                held = settled(&sent);
                // Longer than the idle timeout in all: it does not count while nobody reads.
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        })
        .unwrap();
    }
    assert!(
        held > 0 && held < FLOOD,
        "the server sent {held} of {FLOOD} to a reader that stood still"
    );
    run.until_rows(usize::try_from(FLOOD).unwrap());
    assert!(run.rows().into_iter().eq(0..FLOOD));
    assert!(run.gaps().is_empty() && run.batches.iter().all(|batch| batch.len() <= 1024));
}

#[test]
fn a_server_that_gives_a_slow_reader_up_is_a_gap() {
    let (server, sent) = flooding(FLOOD);
    let mut run = Run::open(&format!("url = '{}/'", server.url()));
    let mut held = 0;
    while held == 0 {
        run.read(&mut |_| {
            if held == 0 {
                held = settled(&sent);
                server.hang_up_all();
            }
            Ok(())
        })
        .unwrap();
    }
    let gaps = run.until_gaps(1);
    assert!(
        gaps[0].reason.contains("reading had been paused for"),
        "{gaps:?}"
    );
    assert!(
        gaps[0]
            .reason
            .contains("the pipeline is slower than the stream"),
        "{gaps:?}"
    );
    run.until("the rest", |run| run.row_set().contains(&(FLOOD - 1)));
    // What was received before the end is there, in order and once.
    let rows = run.rows();
    assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(rows[0] == 0 && rows.len() > 10_000);
}

/// A server that sends one frame again and again, faster than anybody reads, until it has heard from its
/// client so many times or the client is gone; and how often it has heard.
fn endless(frame: &[u8], heard_max: u64) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&heard);
    let frames = frame.repeat(256 * 1024 / frame.len());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        accept(stream.try_clone().unwrap()).unwrap();
        let (mut half, counting) = (stream.try_clone().unwrap(), Arc::clone(&counter));
        std::thread::spawn(move || {
            while half.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        while counter.load(Ordering::SeqCst) < heard_max && stream.write_all(&frames).is_ok() {}
    });
    (address, heard)
}

const ROW: &[u8] = b"\x81\x07{\"a\":1}";

#[test]
fn a_stream_without_pauses_gets_its_pings() {
    let (address, heard) = endless(ROW, 3);
    let with = format!("url = 'ws://{address}/', ping_interval = '50ms', idle_timeout = '10s'");
    let mut run = Run::open(&with);
    run.until("three pings", |_| heard.load(Ordering::SeqCst) >= 3);
    assert!(run.gaps().is_empty() && run.rejects.is_empty());
}

#[test]
fn the_end_of_a_reader_does_not_wait_for_the_end_of_a_flood() {
    let (address, _) = endless(ROW, u64::MAX);
    let mut run = Run::open(&format!("url = 'ws://{address}/'"));
    run.until_rows(1);
    let start = Instant::now();
    drop(run);
    assert!(start.elapsed() < Duration::from_secs(10));
    // The thread that all connections share is free.
    let other = WsServer::start();
    other.script("/", vec![vec![text(r#"{"a":1}"#)]]);
    Run::open(&format!("url = '{}/'", other.url())).until_rows(1);
}

#[test]
fn a_flood_of_control_frames_starves_nobody() {
    let (address, heard) = endless(b"\x89\x00", u64::MAX);
    let mut flooded = Run::open(&format!("url = 'ws://{address}/'"));
    flooded.until("the answers to the pings", |_| {
        heard.load(Ordering::SeqCst) > 0
    });
    let other = WsServer::start();
    other.script("/", vec![vec![text(r#"{"a":1}"#)]]);
    Run::open(&format!("url = '{}/'", other.url())).until_rows(1);
}

/// The threads of this process whose name begins so.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.starts_with(name)).count()
}

#[test]
fn five_hundred_connections_are_one_thread() {
    const COUNT: usize = 500;
    let server = WsServer::start();
    server.on("/*", |connection| {
        let number = connection.visit.target.trim_start_matches('/').to_owned();
        connection.send(Message::text(format!("{{\"a\":{number}}}")))?;
        connection.serve()
    });
    let with = format!("url = '{}/$id', on_start_query = 'SELECT 1'", server.url());
    let mut run = Run::open_with_query(&with, |_| {
        let rows = (0..COUNT).map(|id| json!({"id": id}));
        Ok(serde_json::from_value(rows.collect())?)
    });
    run.until("a row of each", |run| run.row_set().len() == COUNT);
    assert_eq!((server.open_count(), server.visits().len()), (COUNT, COUNT));
    assert_eq!(threads("omlsp-ws"), 1);
    assert!(
        threads("blocking-") <= 8,
        "{} threads resolve names",
        threads("blocking-")
    );
    server.push(None, r#"{"a":1000000}"#);
    run.until_rows(2 * COUNT);
    assert!(run.gaps().is_empty() && run.warnings().is_empty());
    drop(run);
    wait_for("the end of all connections", || server.open_count() == 0);
}

#[test]
fn a_flood_on_one_connection_does_not_starve_another() {
    let (server, sent) = flooding(FLOOD);
    server.script("/quiet", vec![vec![text(r#"{"a":-1}"#)]]);
    let with = format!(
        "url = '{}/$path', on_start_query = 'SELECT 1'",
        server.url()
    );
    let mut run = Run::open_with_query(&with, |_| {
        Ok(serde_json::from_value(
            json!([{"path": ""}, {"path": "quiet"}]),
        )?)
    });
    run.until("the quiet one", |run| run.row_set().contains(&-1));
    run.until("the end of the flood", |run| {
        run.row_set().len() == usize::try_from(FLOOD).unwrap() + 1
    });
    assert_eq!(sent.load(Ordering::SeqCst), FLOOD);
}

#[test]
fn full_batches_that_are_there_are_committed_together_and_keep_their_size() {
    let server = WsServer::start();
    let messages = (0..5000).map(|a| text(format!("{{\"a\":{a}}}"))).collect();
    server.script("/", vec![messages]);
    let with = format!(
        "url = '{}/', batch.max_rows = 100, batch.linger = '5s'",
        server.url()
    );
    let mut run = Run::open(&with);
    let mut deliveries = Vec::new();
    while run.rows().len() < 5000 {
        run.read(&mut |values| {
            deliveries.push(values.len());
            // The first one takes its time, so that others gather.
            if deliveries.len() == 1 {
                wait_for("the end of the script", || server.open_count() == 1);
                std::thread::sleep(Duration::from_millis(300));
            }
            Ok(())
        })
        .unwrap();
    }
    assert!(run.rows().into_iter().eq(0..5000));
    assert!(run.batches.iter().all(|batch| batch.len() == 100));
    assert!(deliveries.iter().any(|rows| *rows > 100), "{deliveries:?}");
    assert!(
        deliveries.iter().all(|rows| *rows <= 32 * 100),
        "{deliveries:?}"
    );
}

#[test]
fn what_was_received_before_a_stop_is_delivered() {
    let server = WsServer::start();
    // The answer to the ping says that everything before it was read.
    let messages = (0..20_000).map(|a| text(format!("{{\"a\":{a}}}")));
    server.script(
        "/",
        vec![messages.chain([Step::Ping(Vec::new())]).collect()],
    );
    let mut run = Run::open(&format!("url = '{}/'", server.url()));
    wait_for("the answer to the ping", || server.pong_count() == 1);
    assert!(run.rows().is_empty());
    assert!(run.stop_and_read().is_some());
    assert!(
        run.rows().into_iter().eq(0..20_000),
        "{} rows",
        run.rows().len()
    );
    assert!(run.gaps().is_empty());
}
