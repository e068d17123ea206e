//! W1: a body of 100,000 rows of 14 fields, 4 of them kept; 200 times the same; a gigabyte of pages.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use duckdb::Connection;
use omlsp::batch::RecordBatch;
use omlsp::batch::array::{Float64Array, StringArray};
use omlsp::batch::datatypes::{DataType, Field, Schema};
use serde::Deserialize;

use crate::support::binary::{Project, Running, wait_at_most};
use crate::support::http::{Reply, Server};
use crate::table::{Goal, MEBIBYTE, Runs, Table};

const ROWS: usize = 100_000;
const POLLS: usize = 200;
/// With pages of about 3.3 MB, a gigabyte.
const PAGES: u64 = 310;
const PAGE_ROWS: usize = 12_000;
/// A gigabyte takes longer than the waits of the tests allow, on a busy machine much longer.
const POLL_MAX: Duration = Duration::from_secs(900);

const COLUMNS: &str = "symbol STRING, buy DOUBLE, sell DOUBLE, last DOUBLE";
const FILTER: &str = ".data[] | {symbol, buy, sell, last}";

/// Rows of 14 fields, numbers as text as exchanges write them.
pub fn body(page: u64, rows: usize) -> Vec<u8> {
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

/// The whole process, from nothing to rows on the disk.
pub fn hundred_thousand_rows(table: &mut Table) {
    let server = Server::start();
    let body: Arc<[u8]> = body(0, ROWS).into();
    let shared = Arc::clone(&body);
    server.on("GET", "/rows", move |_| Reply::shared(&shared));
    let url = format!("{}/rows", server.url());
    let with = format!("connector = 'http', url = '{url}', interval = '1h', jq = '{FILTER}'");
    let to_table = format!("CREATE TABLE t ({COLUMNS}) WITH ({with});");
    let to_file = format!(
        "CREATE SOURCE t ({COLUMNS}) WITH ({with});
        CREATE SINK f FROM t WITH (connector = 'file', path = 'rows.json');"
    );
    let once = |sql: &str| {
        let project = Project::new();
        project.file("poll.sql", sql);
        watch(project.omlsp(["run", "poll.sql", "--once"]).spawn())
    };
    let (mut tables, mut files, mut peaks, mut raws, mut peers) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..table.runs {
        raws.push(raw(&body));
        let (took, peak) = once(&to_table);
        tables.push(took);
        peaks.push(peak as f64 / body.len() as f64);
        files.push(once(&to_file).0);
        peers.extend(curl_jq(&url));
    }
    let raw = Runs::millis(&raws);
    let (tables, files) = (Runs::millis(&tables), Runs::millis(&files));
    let size = Runs::of(vec![body.len() as f64 / MEBIBYTE], "MB");
    table.fact(
        "W1",
        "the body: 100,000 rows of 14 fields",
        &size,
        Goal::None,
    );
    let what = "process, into a TABLE; raw: sonic-rs, DuckDB append";
    table.beside("W1", what, &tables, &raw, Goal::None);
    table.beside(
        "W1",
        "process, into a file of JSON",
        &files,
        &raw,
        Goal::None,
    );
    if peers.is_empty() {
        table.left_out("W1", "curl | jq -c", "not there");
    } else {
        let peers = Runs::millis(&peers);
        let what = "process, into a TABLE; raw: curl | jq -c > /dev/null";
        table.beside("W1", what, &tables, &peers, Goal::TimesAsFast(10.0));
    }
    let peaks = Runs::of(peaks, "bodies");
    table.fact(
        "W1",
        "peak memory of the process",
        &peaks,
        Goal::AtMost(3.0),
    );
}

/// What a running pipeline needs for a poll: from one request to the next, committed in between.
pub fn repeated(table: &mut Table) {
    let server = Server::start();
    let body: Arc<[u8]> = body(0, ROWS).into();
    let shared = Arc::clone(&body);
    server.on("GET", "/rows", move |_| Reply::shared(&shared));
    let project = Project::new();
    project.file(
        "poll.sql",
        format!(
            "CREATE TABLE t ({COLUMNS}) WITH (connector = 'http', url = '{}/rows', interval = '10ms', overlap = 'queue', jq = '{FILTER}');",
            server.url()
        ),
    );
    let running = project.omlsp(["run", "poll.sql"]).spawn();
    let mut raws = Vec::new();
    let waited = wait_at_most(POLL_MAX, || server.count_of("/rows") > POLLS);
    assert!(waited.is_ok(), "{}", running.stderr());
    let resident = running.memory_peak_bytes().unwrap_or(0);
    running.interrupt();
    running.wait().expect_code(0);
    for _ in 0..table.runs.max(5) {
        raws.push(raw(&body));
    }
    let instants: Vec<Instant> = server
        .requests_of("/rows")
        .iter()
        .map(|request| request.at)
        .collect();
    let times: Vec<Duration> = instants.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let raw = Runs::millis(&raws);
    let all = Runs::millis(&times[1..POLLS]);
    let what = "poll to commit, of 200; raw: sonic-rs, DuckDB append";
    table.beside("W1", what, &all, &raw, Goal::RatioAtMost(2.0));
    let (first, last) = (
        Runs::millis(&times[1..11]),
        Runs::millis(&times[POLLS - 10..POLLS]),
    );
    let what = "the last ten of them; raw: the first ten";
    table.beside("W1", what, &last, &first, Goal::RatioAtMost(1.1));
    let peak = Runs::of(vec![resident as f64 / MEBIBYTE], "MB");
    table.fact("W1", "peak memory after 200 polls", &peak, Goal::None);
}

/// Parses the body into the kept fields, makes columns and appends them to a database on disk.
fn raw(body: &[u8]) -> Duration {
    let folder = tempfile::tempdir().expect("there is room for a database");
    let connection = Connection::open(folder.path().join("raw.duckdb")).expect("a database opens");
    connection
        .execute_batch("CREATE TABLE t (symbol VARCHAR, buy DOUBLE, sell DOUBLE, last DOUBLE)")
        .expect("a table can be made");
    let start = Instant::now();
    let page: RawPage<'_> = sonic_rs::from_slice(body).expect("the body is JSON");
    let number = |of: for<'r> fn(&'r RawRow<'_>) -> &'r str| -> Float64Array {
        let values = page.data.iter().map(|row| of(row).parse::<f64>().ok());
        values.collect()
    };
    let symbols: StringArray = page.data.iter().map(|row| Some(row.symbol)).collect();
    let columns = [
        number(|row| row.buy),
        number(|row| row.sell),
        number(|row| row.last),
    ];
    let schema = Schema::new(vec![
        Field::new("symbol", DataType::Utf8, true),
        Field::new("buy", DataType::Float64, true),
        Field::new("sell", DataType::Float64, true),
        Field::new("last", DataType::Float64, true),
    ]);
    let [buy, sell, last] = columns.map(Arc::new);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(symbols), buy, sell, last])
        .expect("the columns are as long");
    let mut appender = connection.appender("t").expect("the table is there");
    appender.append_record_batch(batch).expect("the rows fit");
    appender.flush().expect("the rows can be written");
    let took = start.elapsed();
    drop(appender);
    took
}

#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    data: Vec<RawRow<'a>>,
}

#[derive(Deserialize)]
struct RawRow<'a> {
    symbol: &'a str,
    buy: &'a str,
    sell: &'a str,
    last: &'a str,
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
    let start = Instant::now();
    let command = format!("curl -s '{url}' | jq -c '{FILTER}' > /dev/null");
    let status = Command::new("sh")
        .args(["-c", &command])
        .status()
        .expect("there is a shell");
    assert!(status.success(), "curl | jq failed");
    Some(start.elapsed())
}

pub fn gigabyte_of_pages(table: &mut Table) {
    for kind in ["TABLE", "SOURCE"] {
        let server = Server::start();
        let page = Arc::new(body(0, PAGE_ROWS));
        let bytes = page.len() as f64 * PAGES as f64;
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
        let rate = Runs::of(vec![bytes / MEBIBYTE / took.as_secs_f64()], "MB/s");
        let what = format!("{PAGES} pages, a gigabyte, into a {kind} and a view");
        table.fact("W1", &what, &rate, Goal::None);
        let peak = Runs::of(vec![peak as f64 / MEBIBYTE], "MB");
        table.fact("W1", "  peak memory", &peak, Goal::AtMost(300.0));
    }
}
