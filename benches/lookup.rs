//! 1,000 lookups against a server that takes 5 ms for each answer: how close to the ideal, latency × rows ÷
//! concurrency, and with how many connections.
//!
//! `cargo bench --bench lookup`. The server runs on the same machine, so its own work is part of the time.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::binary::Project;
use support::http::{Reply, Server};

const ROWS: u32 = 1000;
const LATENCY: Duration = Duration::from_millis(5);
/// The goals of the project: times the ideal, and connections no more than requests in flight.
const TIMES_IDEAL_MAX: f64 = 1.5;
const RUNS: usize = 5;

struct Measured {
    /// From the first question to the last answer.
    asking: Duration,
    /// Of the whole process.
    total: Duration,
    connections: u64,
    in_flight: usize,
}

fn main() {
    println!(
        "{ROWS} lookups, {} ms each, median of {RUNS} runs\n",
        LATENCY.as_millis()
    );
    println!(
        "{:>11} {:>10} {:>10} {:>12} {:>12} {:>10} {:>11}",
        "concurrency",
        "ideal ms",
        "asking ms",
        "times ideal",
        "connections",
        "in flight",
        "process ms"
    );
    for concurrency in [1, 16, 64, 256] {
        let mut runs: Vec<Measured> = (0..RUNS).map(|_| measure(concurrency)).collect();
        runs.sort_by_key(|run| run.asking);
        let median = &runs[RUNS / 2];
        let ideal = LATENCY * ROWS / concurrency;
        let times = median.asking.as_secs_f64() / ideal.as_secs_f64();
        println!(
            "{concurrency:>11} {:>10.0} {:>10.0} {times:>12.2} {:>12} {:>10} {:>11.0}{}",
            millis(ideal),
            millis(median.asking),
            median.connections,
            median.in_flight,
            millis(median.total),
            verdict(concurrency, times, median.connections),
        );
    }
}

fn verdict(concurrency: u32, times: f64, connections: u64) -> String {
    if concurrency != 64 {
        return String::new();
    }
    let met = times <= TIMES_IDEAL_MAX && connections <= u64::from(concurrency);
    let word = if met { "met" } else { "MISSED" };
    format!("   goal: {TIMES_IDEAL_MAX} times, {concurrency} connections: {word}")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn measure(concurrency: u32) -> Measured {
    let asking = Server::start();
    let rows: Vec<Value> = (0..ROWS).map(|id| json!({"id": id})).collect();
    asking.script("/rows", vec![Reply::value(&Value::Array(rows))]);
    let asked = Server::start();
    asked.on("GET", "/names/*", |request| {
        Reply::value(&json!([{"name": request.path}]))
    });
    asked.set_latency(LATENCY);
    let project = Project::new();
    project.file(
        "lookup.sql",
        format!(
            "CREATE SOURCE s (id BIGINT) WITH (connector = 'http', url = '{}/rows', interval = '1h');
            CREATE TEMP TABLE names ($id BIGINT, name STRING) WITH (
                connector = 'lookup-http', url = '{}/names/$id', lookup.concurrency = {concurrency});
            CREATE SINK p FROM (SELECT s.id, n.name FROM s JOIN names n ON n.id = s.id) WITH (connector = 'stdout');",
            asking.url(),
            asked.url()
        ),
    );
    let output = project
        .omlsp(["run", "lookup.sql", "--once", "--ephemeral"])
        .run()
        .expect_code(0);
    assert_eq!(
        output.stdout.lines().count(),
        ROWS as usize,
        "{}",
        output.stderr
    );
    let requests = asked.requests();
    let instants = || requests.iter().map(|request| request.at);
    let (first, last) = (
        instants().min().expect("it was asked"),
        instants().max().expect("it was asked"),
    );
    Measured {
        asking: last - first + LATENCY,
        total: output.took,
        connections: asked.connections_opened(),
        in_flight: asked.in_flight_max(),
    }
}
