//! What ten million rows through a SOURCE leave behind: rows, time, the peak of the state's files and of
//! the memory.
//!
//! ```text
//! cargo bench --bench state              # 10,000,000 rows
//! cargo bench --bench state -- 2000000
//! ```

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use support::binary::{Project, wait_at_most};

const ROWS: u64 = 10_000_000;

/// A run that takes longer hangs.
const RUN_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// What one run took.
struct Measured {
    seconds: f64,
    database_peak: u64,
    log_peak: u64,
    left: u64,
    memory_peak: u64,
}

fn main() {
    let rows = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(ROWS);
    println!(
        "{:>12}  {:<28} {:>8} {:>12} {:>10} {:>10} {:>10}",
        "rows", "consumers", "seconds", "database MB", "log MB", "left MB", "VmHWM MB"
    );
    for (name, consumers) in [
        ("view of few rows", VIEW.to_owned()),
        ("view and file sink", format!("{VIEW}{SINK}")),
    ] {
        let measured = measure(rows, &consumers);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "{rows:>12}  {name:<28} {:>8.1} {:>12.1} {:>10.1} {:>10.1} {:>10.1}",
            measured.seconds,
            mb(measured.database_peak),
            mb(measured.log_peak),
            mb(measured.left),
            mb(measured.memory_peak)
        );
    }
}

const VIEW: &str = "CREATE MATERIALIZED VIEW few AS SELECT n, v FROM made WHERE n % 100000 = 0;";

const SINK: &str = "CREATE SINK out FROM (SELECT n FROM made WHERE n % 10 = 0)
    WITH (connector = 'file', path = 'out/rows.json');";

fn measure(rows: u64, consumers: &str) -> Measured {
    let project = Project::new();
    project.file(
        "a.sql",
        format!(
            "CREATE SOURCE made (n BIGINT, v BIGINT AS (n * 7 % 1000))
             WITH (connector = 'generate', rows = '{rows}');\n{consumers}"
        ),
    );
    let size = |name: &str| {
        let path = project.path().join("st").join(name);
        std::fs::metadata(path).map_or(0, |file| file.len())
    };
    let started = Instant::now();
    let args = ["run", "a.sql", "--once", "--state-dir", "st"];
    let mut running = project.omlsp(args).spawn();
    let mut measured = Measured {
        seconds: 0.0,
        database_peak: 0,
        log_peak: 0,
        left: 0,
        memory_peak: 0,
    };
    let waited = wait_at_most(RUN_MAX, || {
        measured.database_peak = measured.database_peak.max(size("state.duckdb"));
        measured.log_peak = measured.log_peak.max(size("state.duckdb.wal"));
        let memory = running.memory_peak_bytes().unwrap_or(0);
        measured.memory_peak = measured.memory_peak.max(memory);
        !running.is_running()
    });
    assert!(waited.is_ok(), "no end after {RUN_MAX:?}");
    measured.seconds = started.elapsed().as_secs_f64();
    running.wait().expect_code(0);
    measured.left = size("state.duckdb") + size("state.duckdb.wal");
    measured
}
