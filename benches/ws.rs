//! Messages per second through the ws source (read, decode, batches), beside those of the bare client that
//! it is built on, from the same server in the same run.
//!
//! `cargo bench --bench ws [-- MESSAGES]`; no number is asserted, since machines differ.

#[path = "../tests/support/trades.rs"]
mod trades;

use std::hint::black_box;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::{Message, accept};
use omlsp::batch::array::{Array as _, AsArray as _};
use omlsp::batch::datatypes::{DataType, Float64Type, Int64Type};
use omlsp::batch::{Column, Decoded};
use omlsp::connector::{Context, Declared, Delivery, Stop};
use omlsp::diagnostic::SourceMap;
use omlsp::options::{Environment, Options};
use omlsp::secret::Secrets;
use omlsp::sql::{Definition, StatementKind, parse_file};
use smol::stream::StreamExt as _;

use trades::{MESSAGE_BYTES, trade_frames};

/// What the program itself allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MESSAGES: usize = 200_000;
const ROUNDS: usize = 5;

const COLUMNS: &str = "e VARCHAR, s VARCHAR, t BIGINT, p DOUBLE, q DOUBLE, m BOOLEAN";

/// One server and how much it sends to everybody who connects.
#[derive(Clone, Copy)]
struct Run {
    address: SocketAddr,
    messages: usize,
}

fn main() {
    let messages = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(MESSAGES);
    println!("{messages} messages of {MESSAGE_BYTES} bytes, {ROUNDS} rounds, best of each");
    measure(
        "a server that writes as much as fits",
        serve(messages, usize::MAX),
    );
    measure(
        "a server that writes each message alone",
        serve(messages, 1),
    );
}

fn measure(what: &str, run: Run) {
    let mut decoded = Vec::new();
    product(run, ".", &mut |piece| decoded.push(piece));
    check(&decoded, run.messages);
    drop(decoded);
    let filters = [".", "{e, s, t, p, q, m}"];
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(bare(run));
        for (filter, best) in filters.iter().zip(&mut best[1..]) {
            *best = (*best).min(product(run, filter, &mut |piece| drop(black_box(piece))));
        }
    }
    let rate = |time: Duration| run.messages as f64 / time.as_secs_f64();
    println!("{what}");
    println!("  bare client {:>32.0} msgs/s", rate(best[0]));
    for (filter, time) in filters.iter().zip(&best[1..]) {
        let (rate, ratio) = (rate(*time), rate(*time) / rate(best[0]));
        println!("  ws source, jq = {filter:18}{rate:>10.0} msgs/s, {ratio:.2} of the bare client");
    }
}

/// Sends all messages to everybody who connects, so many with one write.
fn serve(messages: usize, per_write: usize) -> Run {
    let frames = trade_frames(messages);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut socket) = accept(stream) else {
                continue;
            };
            let piece = frames
                .len()
                .min(per_write.saturating_mul(MESSAGE_BYTES + 4));
            let stream = socket.get_mut();
            stream.set_nodelay(true).expect("a socket has the option");
            if frames
                .chunks(piece)
                .all(|piece| stream.write_all(piece).is_ok())
            {
                while socket.read().is_ok() {}
            }
        }
    });
    Run { address, messages }
}

/// Reads all messages and does nothing with them.
fn bare(run: Run) -> Duration {
    smol::block_on(async {
        let start = Instant::now();
        let connecting = async_tungstenite::smol::connect_async(format!("ws://{}/", run.address));
        let (mut socket, _) = connecting.await.expect("the server accepts");
        for _ in 0..run.messages {
            black_box(
                socket
                    .next()
                    .await
                    .expect("the server sends all")
                    .expect("frames are whole"),
            );
        }
        let time = start.elapsed();
        socket
            .send(Message::Close(None))
            .await
            .expect("the server still reads");
        time
    })
}

/// Reads all messages through the source, batches included.
fn product(run: Run, jq: &str, keep: &mut dyn FnMut(Decoded)) -> Duration {
    let address = run.address;
    let mut sources = SourceMap::default();
    let sql = format!("CREATE SOURCE s ({COLUMNS}) WITH (url = 'ws://{address}/', jq = '{jq}');");
    let file = sources.add("bench.sql", sql);
    let parsed = parse_file(&sources, file);
    let StatementKind::Create(create) = &parsed.statements[0].kind else {
        panic!("a source is created");
    };
    let Definition::Source(relation) = &create.definition else {
        panic!("a source is created");
    };
    let column = |name: &str, sql_type: &str, arrow: DataType| Column {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        arrow,
        nullable: true,
        in_key: false,
    };
    let declared = Declared {
        columns: vec![
            column("e", "VARCHAR", DataType::Utf8),
            column("s", "VARCHAR", DataType::Utf8),
            column("t", "BIGINT", DataType::Int64),
            column("p", "DOUBLE", DataType::Float64),
            column("q", "DOUBLE", DataType::Float64),
            column("m", "BOOLEAN", DataType::Boolean),
        ],
        included: Vec::new(),
        params: Vec::new(),
        columns_span: relation.columns_span,
        places: Vec::new(),
    };
    let (environment, secrets) = (Environment::default(), Secrets::default());
    let mut options = Options::new(&relation.options, &environment, &secrets);
    let connector = omlsp::connector::find("ws").expect("the connector is registered");
    let make = connector.source.expect("it has a source");
    let source = make(&mut options, &declared).expect("the options are valid");
    let context = Context::new(Stop::default(), |event| drop(black_box(event)));
    let start = Instant::now();
    let mut reader = source.open(None, &context).expect("the thread starts");
    let (mut rows, mut time) = (0, Duration::ZERO);
    while rows < run.messages {
        let mut emit = |delivery: Delivery| {
            rows += delivery.decoded.rows.num_rows();
            keep(delivery.decoded);
            // A call of `read` waits for more after the last message.
            time = start.elapsed();
            Ok(())
        };
        reader
            .read(chrono::Utc::now(), &context, &mut emit)
            .expect("nothing stops it");
    }
    time
}

/// A fast source of wrong rows would be none: every message is there once, in order, with its values.
fn check(decoded: &[Decoded], messages: usize) {
    let mut number = 0;
    for Decoded {
        rows: batch,
        rejects,
    } in decoded
    {
        assert!(rejects.is_empty(), "every message is a row");
        let ids = batch.column(2).as_primitive::<Int64Type>();
        let prices = batch.column(3).as_primitive::<Float64Type>();
        let symbols = batch.column(1).as_string::<i32>();
        assert!(
            batch
                .columns()
                .iter()
                .all(|column| column.null_count() == 0)
        );
        for row in 0..batch.num_rows() {
            let price = (90_000 + number % 1000) as f64 + (number % 100) as f64 / 100.0;
            assert_eq!(ids.value(row), 4_000_000_000 + number as i64);
            assert!((prices.value(row) - price).abs() < 1e-6);
            assert_eq!(symbols.value(row), "BTCUSDT");
            number += 1;
        }
    }
    assert_eq!(number, messages);
}
