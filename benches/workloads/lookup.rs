//! W2: 1,000 lookups against a server that takes 5 ms for each answer, beside the ideal: latency × rows ÷
//! concurrency. What this machine can do is shown by threads that only write requests and read answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
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
        let bare: Vec<Duration> = (0..table.runs).map(|_| bare(concurrency)).collect();
        let what = "  raw: threads that write bytes and read bytes";
        let (asking, bare) = (Runs::millis(&asking), Runs::millis(&bare));
        table.beside("W2", what, &asking, &bare, Goal::None);
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
    let asked = server();
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
    Measured {
        asking: asking_time(&asked),
        total: output.took,
        connections: asked.connections_opened(),
    }
}

/// Starts what is asked.
fn server() -> Server {
    let server = Server::start();
    server.on("GET", "/names/*", |request| {
        Reply::value(&json!([{"name": request.path}]))
    });
    server.set_latency(LATENCY);
    server
}

/// Returns the time from the first question to the last answer.
fn asking_time(asked: &Server) -> Duration {
    let requests = asked.requests();
    assert_eq!(requests.len(), ROWS as usize, "each row asks once");
    let instants = || requests.iter().map(|request| request.at);
    let first = instants().min().expect("it was asked");
    let last = instants().max().expect("it was asked");
    last - first + LATENCY
}

/// Asks the same with a thread for each request in flight, which looks at nothing.
fn bare(concurrency: u32) -> Duration {
    let asked = server();
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..concurrency {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(asked.address()).expect("the server accepts");
                stream.set_nodelay(true).expect("the socket is open");
                let mut answer = [0; 4096];
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    if row >= ROWS {
                        return;
                    }
                    let request = format!(
                        "GET /names/{row} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n",
                        asked.address()
                    );
                    stream
                        .write_all(request.as_bytes())
                        .expect("the server reads");
                    // Head and body of an answer leave the server together.
                    let bytes = stream.read(&mut answer).expect("the server answers");
                    assert!(answer[..bytes].ends_with(b"]"), "the answer is whole");
                }
            });
        }
    });
    asking_time(&asked)
}
