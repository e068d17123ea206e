//! Polls: 100,000 rows beside `curl | jq`, a gigabyte of pages in little memory, the start of a pipeline.
//!
//! `cargo bench --bench poll`. The server runs on the same machine, so its own work is part of the time.
//! Without `curl` and `jq` the comparison is left out, and says so.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::binary::{Project, Running, wait_at_most};
use support::http::{Reply, Server};

const ROWS: usize = 100_000;
const RUNS: usize = 5;
const PAGE_ROWS: usize = 12_000;
/// With pages of about 3.3 MB, a gigabyte.
const PAGES: u64 = 310;
const MEBIBYTE: u64 = 1 << 20;
/// A gigabyte takes longer than the waits of the tests allow.
const POLL_MAX: Duration = Duration::from_secs(600);

const COLUMNS: &str = "symbol STRING, buy DOUBLE, sell DOUBLE, last DOUBLE";
const FILTER: &str = ".data[] | {symbol, buy, sell, last}";

fn main() {
    println!("{:<58} {:>12} {:>12}", "", "measured", "goal");
    hundred_thousand_rows();
    gigabyte_of_pages();
    start_and_idle();
}

fn line(what: &str, measured: &str, goal: &str, met: bool) {
    let word = if met { "met" } else { "MISSED" };
    println!("{what:<58} {measured:>12} {goal:>12}   {word}");
}

fn fact(what: &str, measured: &str) {
    println!("{what:<58} {measured:>12}");
}

/// Rows of 14 fields, numbers as text as exchanges write them.
fn body(page: u64, rows: usize) -> Vec<u8> {
    let mut text = format!(r#"{{"page":{page},"data":["#);
    for row in 0..rows {
        let n = row * 7 + 13;
        let comma = if row == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"symbol":"S{row}-USDT","symbolName":"S{row}-USDT","buy":"{n}.1234","bestBidSize":"1.5","sell":"{n}.5678","bestAskSize":"2.5","changeRate":"0.0{n}","changePrice":"1.1","high":"{n}.9","low":"{n}.01","vol":"{n}000.25","volValue":"123456.789","last":"{n}.4321","averagePrice":null}}"#
        )
        .expect("writing to a string cannot fail");
    }
    text.push_str("]}");
    text.into_bytes()
}

/// Waits for the end and returns how long it took and the peak of its memory.
fn watch(mut running: Running) -> (Duration, u64) {
    let start = Instant::now();
    let mut peak = 0;
    let waited = wait_at_most(POLL_MAX, || {
        peak = running.memory_peak_bytes().unwrap_or(peak).max(peak);
        !running.is_running()
    });
    let took = start.elapsed();
    assert!(waited.is_ok(), "not finished in time\n{}", running.stderr());
    running.wait().expect_code(0);
    (took, peak)
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / MEBIBYTE as f64)
}

fn hundred_thousand_rows() {
    let server = Server::start();
    let body: Arc<[u8]> = body(0, ROWS).into();
    let bytes = body.len() as u64;
    let shared = Arc::clone(&body);
    server.on("GET", "/rows", move |_| Reply::shared(&shared));
    let sql = format!(
        "CREATE TABLE t ({COLUMNS}) WITH (connector = 'http', url = '{}/rows', interval = '1h', jq = '{FILTER}');",
        server.url()
    );
    let (mut times, mut peak) = (Vec::new(), 0);
    for _ in 0..RUNS {
        let project = Project::new();
        project.file("poll.sql", &sql);
        let (took, run_peak) = watch(project.omlsp(["run", "poll.sql", "--once"]).spawn());
        times.push(took);
        peak = peak.max(run_peak);
    }
    let ours = median(times);
    fact("100,000 rows of 14 fields, the body", &mebibytes(bytes));
    fact("  omlsp run --once into a TABLE on disk", &millis(ours));
    let url = format!("{}/rows", server.url());
    match curl_jq(&url) {
        None => fact("  curl | jq -c", "not there"),
        Some(theirs) => {
            fact("  curl | jq -c > /dev/null", &millis(theirs));
            let times = theirs.as_secs_f64() / ours.as_secs_f64();
            line(
                "  times faster than curl | jq",
                &format!("{times:.1}"),
                "10",
                times >= 10.0,
            );
        }
    }
    line(
        "  peak memory",
        &mebibytes(peak),
        &mebibytes(4 * bytes),
        peak < 4 * bytes,
    );
}

fn curl_jq(url: &str) -> Option<Duration> {
    let there = |name: &str| {
        let mut command = Command::new(name);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !there("curl") || !there("jq") {
        return None;
    }
    let run = |_| {
        let start = Instant::now();
        let command = format!("curl -s '{url}' | jq -c '{FILTER}' > /dev/null");
        let status = Command::new("sh")
            .args(["-c", &command])
            .status()
            .expect("there is a shell");
        assert!(status.success(), "curl | jq failed");
        start.elapsed()
    };
    Some(median((0..3).map(run).collect()))
}

fn gigabyte_of_pages() {
    for kind in ["TABLE", "SOURCE"] {
        let server = Server::start();
        let page = Arc::new(body(0, PAGE_ROWS));
        let bytes = page.len() as u64 * PAGES;
        server.forget_requests();
        server.on("GET", "/rows", move |request| {
            let number: u64 = request
                .param("page")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            if number >= PAGES {
                return Reply::json(r#"{"data": []}"#);
            }
            // No two pages may be the same: a page that repeats ends a poll.
            let head = format!(r#"{{"page":{number},"#);
            let mut body = Vec::with_capacity(page.len() + 8);
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(&page[r#"{"page":0,"#.len()..]);
            Reply::shared(&body.into())
        });
        let project = Project::new();
        project.file(
            "pages.sql",
            format!(
                "CREATE {kind} t ({COLUMNS}) WITH (connector = 'http', url = '{}/rows', interval = '1h', jq = '{FILTER}',
                    pagination.type = 'page-based');
                CREATE MATERIALIZED VIEW m AS SELECT symbol, last FROM t WHERE last < 100;",
                server.url()
            ),
        );
        let (took, peak) = watch(project.omlsp(["run", "pages.sql", "--once"]).spawn());
        let rate = bytes as f64 / MEBIBYTE as f64 / took.as_secs_f64();
        fact(
            &format!("{PAGES} pages, {} into a {kind}", mebibytes(bytes)),
            &millis(took),
        );
        fact("  bytes a second", &format!("{rate:.0} MB/s"));
        line(
            "  peak memory",
            &mebibytes(peak),
            "300 MB",
            peak < 300 * MEBIBYTE,
        );
        let state = project.path().join(".omlsp/state.duckdb");
        let size = std::fs::metadata(state).map_or(0, |metadata| metadata.len());
        fact("  the state on disk", &mebibytes(size));
    }
}

fn start_and_idle() {
    let server = Server::start();
    server.script("/rows", vec![Reply::json(r#"[{"id": 1}, {"id": 2}]"#)]);
    let mut sql = format!(
        "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '{}/rows', interval = '1h');\n",
        server.url()
    );
    for view in 0..4 {
        writeln!(
            sql,
            "CREATE VIEW v{view} AS SELECT id + {view} AS id FROM t;"
        )
        .expect("a string");
    }
    for view in 0..3 {
        writeln!(
            sql,
            "CREATE MATERIALIZED VIEW m{view} AS SELECT id, count(*) AS n FROM v{view} GROUP BY id;"
        )
        .expect("a string");
    }
    sql.push_str("CREATE SINK p FROM v0 WITH (connector = 'stdout');\n");
    sql.push_str(
        "CREATE SINK q FROM m0 WITH (connector = 'file', path = 'q.json', changes = 'op');\n",
    );
    let (mut starts, mut idle, mut threads) = (Vec::new(), 0, 0);
    for _ in 0..11 {
        let project = Project::new();
        project.file("start.sql", &sql);
        let start = Instant::now();
        let mut running = project.omlsp(["run", "start.sql"]).spawn();
        while running.stdout_line_count() == 0 {
            assert!(running.is_running(), "{}", running.stderr());
            std::thread::sleep(Duration::from_micros(200));
        }
        starts.push(start.elapsed());
        // Long enough for everything that follows the first row.
        std::thread::sleep(Duration::from_millis(700));
        idle = idle.max(status(&running, "VmRSS:"));
        threads = threads.max(status(&running, "Threads:"));
        running.interrupt();
        running.wait().expect_code(0);
    }
    let start = median(starts);
    let met = start < Duration::from_millis(100);
    line(
        "10 entities over a new state, start to first row",
        &millis(start),
        "100 ms",
        met,
    );
    line(
        "  idle memory",
        &format!("{} MB", idle / 1024),
        "60 MB",
        idle < 60 * 1024,
    );
    fact("  threads", &threads.to_string());
}

/// Returns the number of one line of `/proc/<pid>/status`, memory in KiB.
fn status(running: &Running, name: &str) -> u64 {
    let text =
        std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
