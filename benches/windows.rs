//! A hundred million events through windows that close: a line every ten million with the time they took, and the
//! most that the state and the memory came to meanwhile. Both swing between checkpoints, and neither grows.
//!
//! ```text
//! cargo bench --bench windows              # 100,000,000 events
//! cargo bench --bench windows -- 20000000
//! ```

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use support::binary::{Project, Running, wait_at_most};

const EVENTS: u64 = 100_000_000;

/// A line for so many events.
const STEP: u64 = 10_000_000;

/// A run that takes longer hangs.
const RUN_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

/// Events are a millisecond apart, and half a second out of order.
const WINDOW_EVENTS: u64 = 60_000;

fn main() {
    let events = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(EVENTS);
    let project = Project::new();
    project.file(
        "a.sql",
        format!(
            "CREATE SOURCE made (n BIGINT, kind BIGINT AS (n % 5), price BIGINT AS (hash(n) % 1000),
                ts TIMESTAMP AS (make_timestamp_ms(1767225600000 + n + (hash(n) % 500)::BIGINT)),
                WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
            WITH (connector = 'generate', rows = '{events}', batch.max_rows = 32768);
            CREATE SINK out AS
                SELECT window_start, count(*) AS n, sum(price) AS total, max(price) AS high
                FROM TUMBLE(made, ts, INTERVAL '1' MINUTE) GROUP BY window_start
                EMIT ON WINDOW CLOSE WITH (connector = 'stdout');"
        ),
    );
    println!(
        "{:>12}  {:>8} {:>12} {:>14} {:>14}",
        "events", "seconds", "events/s", "state, max MB", "VmRSS, max MB"
    );
    let started = Instant::now();
    let args = ["run", "a.sql", "--once", "--state-dir", "st"];
    let mut running = project.omlsp(args).spawn();
    let mut next = STEP.min(events);
    let mut most = Most::default();
    let waited = wait_at_most(RUN_MAX, || {
        most.look(&project, &running);
        let closed = running.stdout_line_count() as u64 * WINDOW_EVENTS;
        if closed >= next {
            std::mem::take(&mut most).print(closed, started);
            next = (closed / STEP + 1) * STEP;
        }
        !running.is_running()
    });
    assert!(waited.is_ok(), "no end after {RUN_MAX:?}");
    let seconds = started.elapsed().as_secs_f64();
    let output = running.wait().expect_code(0);
    let lines = output.json_lines();
    let counted: u64 = lines.iter().filter_map(|line| line["n"].as_u64()).sum();
    assert_eq!(counted, events, "every event is in a window");
    println!(
        "{events} events in {seconds:.1} s, {} windows, each once",
        lines.len()
    );
}

/// The most that was seen, in bytes.
#[derive(Default)]
struct Most {
    state: u64,
    resident: u64,
}

impl Most {
    fn look(&mut self, project: &Project, running: &Running) {
        let size = |name: &str| {
            let path = project.path().join("st").join(name);
            std::fs::metadata(path).map_or(0, |file| file.len())
        };
        let state = size("state.duckdb") + size("state.duckdb.wal");
        self.state = self.state.max(state);
        self.resident = self.resident.max(resident_bytes(running));
    }

    fn print(self, events: u64, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "{events:>12}  {seconds:>8.1} {:>12.0} {:>14.1} {:>14.1}",
            events as f64 / seconds,
            mb(self.state),
            mb(self.resident),
        );
    }
}

/// Returns the memory the process has now, from `/proc`; 0 where there is none.
fn resident_bytes(running: &Running) -> u64 {
    let path = format!("/proc/{}/status", running.pid());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
