//! W2: 1,000 lookups against a server that takes 5 ms for each answer, beside the ideal: latency × rows ÷
//! concurrency.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::binary::Project;
use crate::support::http::{Reply, Server};
use crate::table::{Goal, Runs, Table};

const ROWS: u32 = 1000;
const LATENCY: Duration = Duration::from_millis(5);

struct Measured {
    /// From the first question to the last answer.
    asking: Duration,
    /// Of the whole process.
    total: Duration,
    connections: u64,
}

pub fn thousand_lookups(table: &mut Table) {
    for concurrency in [64, 256] {
        let runs: Vec<Measured> = (0..table.runs).map(|_| measure(concurrency)).collect();
        let ideal = Runs::millis(&[LATENCY * ROWS / concurrency]);
        let asking: Vec<Duration> = runs.iter().map(|run| run.asking).collect();
        let total: Vec<Duration> = runs.iter().map(|run| run.total).collect();
        let connections = runs.iter().map(|run| run.connections as f64).collect();
        let promised = concurrency == 64;
        let goal = |goal| if promised { goal } else { Goal::None };
        let what = format!("1,000 lookups at 5 ms, {concurrency} in flight; raw: ideal");
        table.beside(
            "W2",
            &what,
            &Runs::millis(&asking),
            &ideal,
            goal(Goal::RatioAtMost(1.3)),
        );
        table.fact(
            "W2",
            "  the whole process",
            &Runs::millis(&total),
            Goal::None,
        );
        let connections = Runs::of(connections, "");
        let most = f64::from(concurrency);
        table.fact(
            "W2",
            "  connections opened",
            &connections,
            goal(Goal::AtMost(most)),
        );
    }
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
    let lines = output.stdout.lines().count();
    assert_eq!(lines, ROWS as usize, "{}", output.stderr);
    let requests = asked.requests();
    let instants = || requests.iter().map(|request| request.at);
    let first = instants().min().expect("it was asked");
    let last = instants().max().expect("it was asked");
    Measured {
        asking: last - first + LATENCY,
        total: output.took,
        connections: asked.connections_opened(),
    }
}
