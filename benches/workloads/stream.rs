//! W3: 200,000 WebSocket messages of 200 bytes through filter and projection, to a file and to Kafka.
//!
//! Beside clients without state: one by hand that parses, filters and projects the messages with `serde_json` and
//! keeps the rows in memory or sends them, and one that reads the messages and does nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::{Message, Utf8Bytes, accept};
use serde::{Deserialize, Serialize};
use smol::stream::StreamExt as _;

use crate::bare::Bare;
use crate::broker::{available, shared};
use crate::kafka::{messages_in, sink, topic};
use crate::support::binary::Project;
use crate::support::trades::trade_frames;
use crate::table::{Goal, Runs, Table};

const MESSAGES: usize = 200_000;
/// Far longer than all messages take.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// What the pipeline does with a message.
const QUERY: &str = "SELECT s, t, p * q AS value FROM trades WHERE m";

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
        let to_file = format!(
            "CREATE SINK f FROM ({QUERY}) WITH (connector = 'file', path = 'trades.json');"
        );
        let (project, took, reading) = pipeline(address, &served, &to_file);
        assert_eq!(
            lines_in(&project),
            MESSAGES / 2,
            "every second message is in the file"
        );
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
    table.beside("W3", what, &ours_times, &by_hand, Goal::RatioAtMost(2.0));
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
    to_kafka(table, (address, &served));
}

/// The same to a topic, beside the client by hand that sends its rows there.
fn to_kafka(table: &mut Table, (address, served): (SocketAddr, &Receiver<Served>)) {
    let what = "200,000 messages to Kafka; raw: by hand, to Kafka";
    if !available() {
        table.left_out("W3", what, "no Kafka broker");
        return;
    }
    let (mut by_hand, mut ours) = (Vec::new(), Vec::new());
    for round in 0..table.runs {
        let name = topic(&format!("w3-by-hand-{round}"));
        let producer = Bare::new(shared().server());
        producer.connect(&name);
        let start = Instant::now();
        client(address, &mut |text| {
            if let Some(row) = row_of(&text) {
                let line = serde_json::to_vec(&row).expect("a row is JSON");
                producer.send(&line, &name);
            }
        });
        producer.flush();
        by_hand.push(start.elapsed());
        served.recv_timeout(WAIT_MAX).expect("the client reads all");
        assert_eq!(messages_in(shared(), &name), (MESSAGES / 2) as i64);
        let name = topic(&format!("w3-ours-{round}"));
        let (_project, took, _) = pipeline(address, served, &sink(&format!("({QUERY})"), &name));
        assert_eq!(messages_in(shared(), &name), (MESSAGES / 2) as i64);
        ours.push(took);
    }
    let (ours, by_hand) = (Runs::millis(&ours), Runs::millis(&by_hand));
    table.beside("W3", what, &ours, &by_hand, Goal::RatioAtMost(2.0));
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

/// A row of the pipeline.
#[derive(Serialize)]
struct Row {
    s: String,
    t: i64,
    value: f64,
}

/// What the pipeline does with a message, by hand.
fn row_of(text: &str) -> Option<Row> {
    let trade: Trade<'_> = serde_json::from_str(text).expect("every message is a trade");
    if trade.e != "trade" || !trade.m {
        return None;
    }
    let number = |text: &str| -> f64 { text.parse().expect("every price is a number") };
    Some(Row {
        s: trade.s.to_owned(),
        t: trade.t,
        value: number(trade.p) * number(trade.q),
    })
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

/// Runs the pipeline with a sink until everything has left it: the whole time from the first message on, and that
/// until everything was read.
fn pipeline(
    address: SocketAddr,
    served: &Receiver<Served>,
    sink: &str,
) -> (Project, Duration, Duration) {
    let project = Project::new();
    project.file(
        "stream.sql",
        format!(
            "CREATE SOURCE trades (e STRING, s STRING, t BIGINT, p DOUBLE, q DOUBLE, m BOOLEAN) WITH (
                connector = 'ws', url = 'ws://{address}/', jq = 'select(.e == \"trade\") | {{e, s, t, p, q, m}}');
            {sink}"
        ),
    );
    let running = project.omlsp(["run", "stream.sql"]).spawn();
    let served = served.recv_timeout(WAIT_MAX);
    let Ok(Served { start, end }) = served else {
        panic!("not read in time\n{}", running.stderr());
    };
    running.interrupt();
    running.wait().expect_code(0);
    (project, start.elapsed(), end - start)
}

/// Counts the rows in the files of a project.
fn lines_in(project: &Project) -> usize {
    let folder = std::fs::read_dir(project.path()).expect("the folder is there");
    let files = folder.flatten().map(|entry| entry.path());
    let files = files.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    let lines =
        files.map(|path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count()));
    lines.sum()
}
