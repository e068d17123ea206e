//! W5: from the start of the process to the first row of a 1,000-row body, and what it holds when idle.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::poll::body;
use crate::support::binary::{Project, Running};
use crate::support::http::{Reply, Server};
use crate::table::{Goal, Runs, Table};

pub fn start_and_idle(table: &mut Table) {
    let server = Server::start();
    let rows = body(0, 1000).into();
    server.on("GET", "/rows", move |_| Reply::shared(&rows));
    let with = format!(
        "connector = 'http', url = '{}/rows', interval = '1h', jq = '.data[] | {{symbol, last}}'",
        server.url()
    );
    let small = format!(
        "CREATE TABLE t (symbol STRING, last DOUBLE) WITH ({with});
        CREATE SINK p FROM t WITH (connector = 'stdout');"
    );
    let mut large = small.clone();
    for view in 0..4 {
        writeln!(
            large,
            "CREATE VIEW v{view} AS SELECT last + {view} AS last FROM t;"
        )
        .expect("writing to a string cannot fail");
    }
    for view in 0..3 {
        writeln!(
            large,
            "CREATE MATERIALIZED VIEW m{view} AS SELECT last, count(*) AS n FROM v{view} GROUP BY last;"
        )
        .expect("writing to a string cannot fail");
    }
    large.push_str(
        "CREATE SINK q FROM m0 WITH (connector = 'file', path = 'q.json', changes = 'op');\n",
    );
    for (what, sql, goal) in [
        ("a table and a sink", small, 60.0),
        ("10 entities", large, 100.0),
    ] {
        measure(table, what, &sql, goal);
    }
}

fn measure(table: &mut Table, what: &str, sql: &str, millis_max: f64) {
    let (mut starts, mut idle, mut peaks, mut threads) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..table.runs.max(11) {
        let project = Project::new();
        project.file("start.sql", sql);
        let start = Instant::now();
        let mut running = project.omlsp(["run", "start.sql"]).spawn();
        while running.stdout_line_count() == 0 {
            assert!(running.is_running(), "{}", running.stderr());
            std::thread::sleep(Duration::from_micros(200));
        }
        starts.push(start.elapsed());
        // Long enough for everything that follows the first row.
        std::thread::sleep(Duration::from_millis(700));
        idle.push(status(&running, "VmRSS:") / 1024.0);
        peaks.push(status(&running, "VmHWM:") / 1024.0);
        threads.push(status(&running, "Threads:"));
        running.interrupt();
        running.wait().expect_code(0);
    }
    let title = format!("{what}, new state: start to first row");
    table.fact(
        "W5",
        &title,
        &Runs::millis(&starts),
        Goal::AtMost(millis_max),
    );
    table.fact(
        "W5",
        "  idle memory",
        &Runs::of(idle, "MB"),
        Goal::AtMost(50.0),
    );
    table.fact("W5", "  peak memory", &Runs::of(peaks, "MB"), Goal::None);
    table.fact("W5", "  threads", &Runs::of(threads, ""), Goal::None);
}

/// Returns the number of one line of `/proc/<pid>/status`, memory in KiB.
fn status(running: &Running, name: &str) -> f64 {
    let text =
        std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}
