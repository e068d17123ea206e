//! W3: 200,000 WebSocket messages of 200 bytes through filter and projection to a file.
//!
//! Beside two clients without state and sink: one by hand that parses, filters and projects the messages with
//! `serde_json`, and the bare one that reads them and does nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::{Message, Utf8Bytes, accept};
use serde::Deserialize;
use smol::stream::StreamExt as _;

use crate::support::binary::Project;
use crate::support::trades::trade_frames;
use crate::table::{Goal, Runs, Table};

const MESSAGES: usize = 200_000;
/// Far longer than all messages take.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// When a client was accepted, and when it had read everything.
struct Served {
    start: Instant,
    end: Instant,
}

pub fn messages(table: &mut Table) {
    let (address, served) = serve();
    let (mut bare, mut by_hand, mut ours, mut read) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let gone = || served.recv_timeout(WAIT_MAX).expect("the client reads all");
    for _ in 0..table.runs {
        bare.push(client(address, &mut |_| {}));
        gone();
        let mut rows = Vec::new();
        by_hand.push(client(address, &mut |text| rows.extend(row_of(&text))));
        gone();
        assert_eq!(rows.len(), MESSAGES / 2, "every second message is a row");
        let (took, reading) = pipeline(address, &served);
        ours.push(took);
        read.push(reading);
    }
    let rate = |times: &[Duration]| {
        let rates = times
            .iter()
            .map(|time| MESSAGES as f64 / time.as_secs_f64());
        Runs::of(rates.collect(), "/s")
    };
    let (ours_times, by_hand) = (Runs::millis(&ours), Runs::millis(&by_hand));
    let what = "200,000 messages to a file; raw: by hand, no sink";
    table.beside("W3", what, &ours_times, &by_hand, Goal::None);
    let what = "  raw: the client that only reads";
    let bare_times = Runs::millis(&bare);
    table.beside("W3", what, &ours_times, &bare_times, Goal::RatioAtMost(2.0));
    table.fact(
        "W3",
        "  messages a second",
        &rate(&ours),
        Goal::AtLeast(500_000.0),
    );
    let what = "  until all are read; raw: the client that only reads";
    table.beside("W3", what, &rate(&read), &rate(&bare), Goal::None);
}

/// Sends all messages to everybody who connects, and tells when they were read.
fn serve() -> (SocketAddr, Receiver<Served>) {
    let mut frames = trade_frames(MESSAGES);
    // A ping is answered when everything before it has been read.
    frames.extend([0x89, 0]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut socket) = accept(stream) else {
                continue;
            };
            let start = Instant::now();
            let stream = socket.get_mut();
            if stream.set_nodelay(true).is_err() || stream.write_all(&frames).is_err() {
                continue;
            }
            while let Ok(message) = socket.read() {
                let end = Instant::now();
                if matches!(message, Message::Pong(_))
                    && sender.send(Served { start, end }).is_err()
                {
                    return;
                }
            }
        }
    });
    (address, receiver)
}

/// A message as somebody writes it down who knows what comes; the price and the quantity are texts.
#[derive(Deserialize)]
struct Trade<'a> {
    e: &'a str,
    s: &'a str,
    t: i64,
    p: &'a str,
    q: &'a str,
    m: bool,
}

/// What the pipeline does with a message, by hand.
fn row_of(text: &str) -> Option<(String, i64, f64)> {
    let trade: Trade<'_> = serde_json::from_str(text).expect("every message is a trade");
    if trade.e != "trade" || !trade.m {
        return None;
    }
    let number = |text: &str| -> f64 { text.parse().expect("every price is a number") };
    Some((
        trade.s.to_owned(),
        trade.t,
        number(trade.p) * number(trade.q),
    ))
}

/// Reads all messages and gives each to `each`.
fn client(address: SocketAddr, each: &mut dyn FnMut(Utf8Bytes)) -> Duration {
    smol::block_on(async {
        let connecting = async_tungstenite::smol::connect_async(format!("ws://{address}/"));
        let (mut socket, _) = connecting.await.expect("the server accepts");
        let start = Instant::now();
        let mut texts = 0;
        while texts < MESSAGES {
            let message = socket.next().await.expect("the server sends all");
            if let Message::Text(text) = message.expect("frames are whole") {
                texts += 1;
                each(text);
            }
        }
        let time = start.elapsed();
        // The ping behind the last message is answered while the close is awaited.
        let closing = socket.send(Message::Pong(Vec::new().into())).await;
        closing.expect("the server still reads");
        socket
            .send(Message::Close(None))
            .await
            .expect("the server still reads");
        time
    })
}

/// Runs the pipeline until everything is in the file: the whole time from the first message on, and that until
/// everything was read.
fn pipeline(address: SocketAddr, served: &Receiver<Served>) -> (Duration, Duration) {
    let project = Project::new();
    project.file(
        "stream.sql",
        format!(
            "CREATE SOURCE trades (e STRING, s STRING, t BIGINT, p DOUBLE, q DOUBLE, m BOOLEAN) WITH (
                connector = 'ws', url = 'ws://{address}/', jq = 'select(.e == \"trade\") | {{e, s, t, p, q, m}}');
            CREATE SINK f FROM (SELECT s, t, p * q AS value FROM trades WHERE m) WITH (
                connector = 'file', path = 'trades.json');"
        ),
    );
    let running = project.omlsp(["run", "stream.sql"]).spawn();
    let served = served.recv_timeout(WAIT_MAX);
    let Ok(Served { start, end }) = served else {
        panic!("not read in time\n{}", running.stderr());
    };
    running.interrupt();
    running.wait().expect_code(0);
    let took = start.elapsed();
    let folder = std::fs::read_dir(project.path()).expect("the folder is there");
    let files = folder.flatten().map(|entry| entry.path());
    let files = files.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    let lines: usize = files
        .map(|path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count()))
        .sum();
    assert_eq!(lines, MESSAGES / 2, "every second message is in the file");
    (took, end - start)
}
