//! What stays bounded: the state of a SOURCE, memory, and the backlog of a sink that is down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::support::address;
use super::support::binary::Project;
use super::support::http::{Reply, Server};

/// Enough that a source would wait for ever if what is held back, or what was taken, were miscounted: more
/// than twice the backlog of a reader.
const ROWS: u64 = 2_500_000;

const STATE_BYTES_MAX: u64 = 100 << 20;

/// Far below what the rows take, far above what the engine needs.
const MEMORY_BYTES_MAX: u64 = 700 << 20;

#[test]
fn a_source_leaves_a_small_state() {
    let project = Project::new();
    project.file(
        "a.sql",
        format!(
            "CREATE SOURCE made (n BIGINT, v BIGINT AS (n * 7 % 1000))
             WITH (connector = 'generate', rows = '{ROWS}');
             CREATE MATERIALIZED VIEW few AS SELECT n, v FROM made WHERE n % 100000 = 0;
             CREATE SINK out FROM (SELECT n FROM made WHERE n % 10 = 0)
             WITH (connector = 'file', path = 'out/rows.json');"
        ),
    );
    let mut running = project
        .omlsp(["run", "a.sql", "--once", "--state-dir", "st"])
        .spawn();
    let (mut state_peak, mut memory_peak) = (0, 0);
    running.wait_until(
        |running| {
            let size = |name: &str| {
                let path = project.path().join("st").join(name);
                std::fs::metadata(path).map_or(0, |file| file.len())
            };
            state_peak = state_peak.max(size("state.duckdb") + size("state.duckdb.wal"));
            memory_peak = memory_peak.max(running.memory_peak_bytes().unwrap_or(0));
            running.stderr().contains("stopped")
        },
        "the rows are through",
    );
    let output = running.wait().expect_code(0);
    assert!(!output.stderr.contains("far behind"), "{output}");
    assert!(state_peak < STATE_BYTES_MAX, "{state_peak} bytes of state");
    assert!(
        memory_peak < MEMORY_BYTES_MAX,
        "{memory_peak} bytes of memory"
    );
    let files = std::fs::read_dir(project.path().join("out")).expect("the sink wrote");
    let lines: usize = files
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"))
        .map(|text| text.lines().count())
        .sum();
    assert_eq!(lines as u64, ROWS / 10);
}

#[test]
fn a_table_that_is_aggregated_takes_more_rows_than_a_backlog() {
    let project = Project::new();
    project.file(
        "a.sql",
        "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = '1500000', batch.max_rows = 250000);
         CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM made;
         CREATE SINK out FROM total WITH (connector = 'stdout', changes = 'op');",
    );
    let args = ["run", "a.sql", "--once", "--state-dir", "st"];
    let output = project.omlsp(args).run().expect_code(0);
    let last = output.json_lines().pop().expect("a line");
    assert_eq!(last["n"], 1_500_000, "{output}");
}

/// A sink whose server is away holds nobody up, and gets everything in order once it is back.
#[test]
fn a_sink_that_is_down_stops_nobody() {
    let project = Project::new();
    let address = address::unused();
    project.file(
        "a.sql",
        format!(
            "CREATE SOURCE made (n BIGINT) WITH (connector = 'generate', rows = '{ROWS}');
             CREATE SINK shown FROM (SELECT n FROM made WHERE n % 100000 = 0) WITH (connector = 'stdout');
             CREATE SINK posts FROM (SELECT n FROM made WHERE n % 1000 = 0) WITH (
                 connector = 'http', url = 'http://{address}/posts', method = 'POST', encode = 'jsonl',
                 batch.max_rows = 100, retry.max_attempts = 2, retry.initial_backoff = '10ms',
             );"
        ),
    );
    let mut running = project.omlsp(["run", "a.sql", "--state-dir", "st"]).spawn();
    let shown = usize::try_from(ROWS / 100_000).expect("few");
    running.wait_until(
        |running| running.stdout_line_count() == shown,
        "the other sink has all",
    );
    let server = Server::start_at(address);
    let (next, faults) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (arrived, kept) = (Arc::clone(&next), Arc::clone(&faults));
    server.on("POST", "/posts", move |request| {
        for row in request.body_text().lines() {
            let row: serde_json::Value = serde_json::from_str(row).expect("a row is JSON");
            let expected = arrived.fetch_add(1000, Ordering::SeqCst);
            if row["n"] != expected {
                kept.lock()
                    .expect("nothing panics here")
                    .push((expected, row));
            }
        }
        Reply::json("{}")
    });
    running.wait_until(
        |_| next.load(Ordering::SeqCst) >= ROWS,
        "everything has arrived",
    );
    assert_eq!(*faults.lock().expect("nothing panics here"), Vec::new());
    running.terminate();
    running.wait().expect_code(0);
}
