//! What the listener answers.

use serde_json::Value;

use super::setting::Listening;
use crate::support::binary::Project;
use crate::support::http::{Reply, Server};

/// Ten rows at once, a view, a result, a sink with a relation behind it, and a source that never ends.
pub const PIPELINE: &str = "
CREATE TABLE numbers (n BIGINT PRIMARY KEY, half DOUBLE AS (n / 2)) WITH (connector = 'generate', rows = 10);
CREATE VIEW halves AS SELECT half FROM numbers;
CREATE MATERIALIZED VIEW total AS SELECT sum(half) AS total FROM halves;
CREATE SINK out FROM (SELECT max(n) AS top FROM numbers) WITH (connector = 'file', path = 'out.json', changes = 'op');
CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate', rows_per_second = 50);
CREATE SINK nowhere FROM ticks WITH (connector = 'file', path = 'ticks.json');
";

fn started() -> (Project, Listening) {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let listening = Listening::start(&project);
    listening.wait_for("total", "rows_out", |rows| rows.as_u64() >= Some(1));
    listening.wait_for("total", "state", |state| state == "finished");
    listening.wait_for("out", "rows_out", |rows| rows.as_u64() >= Some(1));
    (project, listening)
}

#[test]
fn metrics_tell_rows_positions_latencies_and_state() {
    let (_project, listening) = started();
    let metric = |name: &str| {
        let value = listening.metric(name);
        value.unwrap_or_else(|| panic!("no {name} in {}", listening.get("/metrics").body))
    };
    assert_eq!(metric("omlsp_rows_out_total{entity=\"numbers\"}"), 10.0);
    assert!(metric("omlsp_batches_total{entity=\"total\"}") >= 1.0);
    assert_eq!(metric("omlsp_errors_total{entity=\"numbers\"}"), 0.0);
    let consumer = "{consumer=\"total\",stream=\"numbers\"}";
    assert_eq!(metric(&format!("omlsp_consumer_lag_rows{consumer}")), 0.0);
    assert_eq!(
        metric(&format!("omlsp_consumer_lag_batches{consumer}")),
        0.0
    );
    assert_eq!(
        metric(&format!("omlsp_consumer_position_batches{consumer}")),
        metric("omlsp_stream_head_batches{stream=\"numbers\"}")
    );
    assert!(metric("omlsp_work_duration_seconds_count{entity=\"total\"}") >= 1.0);
    assert!(metric("omlsp_latency_seconds_count{entity=\"ticks\"}") >= 1.0);
    assert!(metric("omlsp_work_duration_seconds_bucket{entity=\"ticks\",le=\"+Inf\"}") >= 1.0);
    assert!(metric("omlsp_state_bytes{part=\"database\"}") > 0.0);
    assert!(metric("omlsp_engine_jobs_waiting") >= 0.0);
    assert!(metric("process_resident_memory_bytes") > 1e6);
    assert_eq!(
        metric("omlsp_entity_info{entity=\"ticks\",kind=\"source\",state=\"running\"}"),
        1.0
    );
    let answer = listening.get("/metrics");
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{answer:?}"
    );
}

#[test]
fn health_graph_and_entities_are_told() {
    let (_project, listening) = started();
    assert_eq!(listening.get("/health").expect_status(200).body, "ok\n");
    let ready = listening.get("/ready").json();
    assert_eq!(
        (&ready["ready"], &ready["stopping"]),
        (&true.into(), &false.into()),
        "{ready}"
    );

    let graph = listening.get("/api/graph").json();
    let entities = graph["entities"].as_array().expect("there are entities");
    let reads = |name: &str| {
        let entity = entities.iter().find(|entity| entity["name"] == name);
        entity.expect("it is there")["reads"].to_string()
    };
    assert_eq!(entities.len(), 6, "{graph}");
    assert_eq!(reads("total"), "[\"halves\"]");
    assert_eq!(reads("halves"), "[\"numbers\"]");
    assert_eq!(reads("out"), "[\"numbers\"]");
    assert_eq!(reads("numbers"), "[]");

    let total = listening.entity("total");
    assert_eq!(
        (&total["kind"], &total["state"]),
        (&"materialized view".into(), &"finished".into())
    );
    assert_eq!(total["behind"], 0, "{total}");
    assert!(
        total["latency_p99_s"].is_number() && total["last_success"].is_string(),
        "{total}"
    );

    let numbers = listening.get("/api/entities/numbers").json();
    let definition = numbers["definition"].as_str().expect("it has one");
    assert!(definition.starts_with("CREATE TABLE numbers"), "{numbers}");
    assert_eq!(
        numbers["latest"]["results"][0]["rows"]
            .as_array()
            .map(Vec::len),
        Some(10)
    );
    assert_eq!(numbers["columns"][0][0], "n", "{numbers}");
    let halves = listening.get("/api/entities/halves").json();
    assert_eq!(
        halves["latest"]["results"][0]["rows"]
            .as_array()
            .map(Vec::len),
        Some(10)
    );
    let ticks = listening.get("/api/entities/ticks").json();
    assert!(
        ticks["latest"]["results"][0]["rows"][0][0].is_string(),
        "{ticks}"
    );
    listening.get("/api/entities/nothing").expect_status(404);
}

#[test]
fn sql_gives_all_digits_messages_and_errors_with_places() {
    let (_project, listening) = started();
    let answer = listening
        .post_sql("SELECT count(*) AS n, 12345678901234567890::HUGEINT AS h, NULL AS x FROM numbers; SHOW SINKS", "")
        .json();
    let first = &answer["results"][0];
    assert_eq!(
        first["rows"].to_string(),
        "[[\"10\",\"12345678901234567890\",null]]",
        "{answer}"
    );
    assert_eq!(
        first["columns"][0].to_string(),
        "{\"name\":\"n\",\"type\":\"BIGINT\"}"
    );
    assert_eq!(
        answer["results"][1]["rows"].as_array().map(Vec::len),
        Some(2),
        "{answer}"
    );

    let answer = listening.post_sql("SELECT * FROM range(5000)", "").json();
    assert_eq!(
        answer["results"][0]["rows"].as_array().map(Vec::len),
        Some(1000)
    );
    assert_eq!(
        (&answer["truncated"], &answer["error"]),
        (&true.into(), &serde_json::Value::Null)
    );

    let answer = listening.post_sql("SELECT n FROM nubmers", "").json();
    let error = answer["error"].as_str().expect("there is no such relation");
    assert!(error.contains("did you mean `numbers`?"), "{error}");
}

#[test]
fn failures_are_counted_and_secrets_stay_hidden() {
    let server = Server::start();
    server.on("GET", "/broken", |_| Reply::status(500));
    let project = Project::new();
    project.file(
        "p.sql",
        format!(
            "CREATE SECRET pass WITH (backend = 'meta') AS 'open-sesame-1234';\n\
             CREATE TABLE broken (n BIGINT) WITH (connector = 'http', url = '{}/broken?key=open-sesame-1234', \
             interval = '100ms', retry.max_attempts = 1, headers.authorization = SECRET pass);",
            server.url()
        ),
    );
    let listening = Listening::start(&project);
    listening.wait_for("broken", "errors", |errors| errors.as_u64() >= Some(2));
    let broken = listening.entity("broken");
    assert_eq!(
        (&broken["state"], &broken["failing"]),
        (&"retrying".into(), &true.into())
    );
    assert!(
        broken["last_error"]
            .as_str()
            .is_some_and(|text| text.contains("status 500")),
        "{broken}"
    );
    assert_eq!(
        listening.metric("omlsp_entity_failing{entity=\"broken\"}"),
        Some(1.0)
    );
    let whole = listening.get("/api/entities/broken").expect_status(200);
    assert!(
        whole.body.contains("errors_kept") && whole.body.contains("status 500"),
        "{whole:?}"
    );
    for path in [
        "/api/entities",
        "/api/graph",
        "/metrics",
        "/api/entities/broken",
        "/ready",
    ] {
        let body = listening.get(path).expect_status(200).body;
        assert!(
            !body.contains("open-sesame"),
            "{path} shows a secret: {body}"
        );
    }
    listening.get("/api/entities/pass").expect_status(404);
    assert!(!listening.running.stderr().contains("open-sesame"));
}

#[test]
fn a_pipeline_of_which_something_has_given_up_is_not_ready() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate', rows_per_second = 50);
         CREATE SINK unread FROM ticks WITH (connector = 'stdout');
         CREATE SINK kept FROM ticks WITH (connector = 'file', path = 'ticks.json');",
    );
    let args = ["run", "p.sql", "--ephemeral", "--listen", "127.0.0.1:0"];
    let listening = Listening::of(project.omlsp(args).unread().spawn());
    listening.wait_for("unread", "state", |state| state == "failed");
    let ready = listening.get("/ready").expect_status(503);
    let ready: Value = serde_json::from_str(&ready.body).expect("it is JSON");
    assert_eq!(
        (
            &ready["ready"],
            &ready["stopping"],
            &ready["entities"]["failed"]
        ),
        (&false.into(), &false.into(), &1.into()),
        "{ready}"
    );
    listening.get("/health").expect_status(200);
}
