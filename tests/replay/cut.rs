//! Records that were cut off while they were written.

use crate::stage::Stage;
use crate::support::http::{Reply, Server};

const SQL: &str = "CREATE TABLE items (id INTEGER) WITH (
        connector = 'http', url = '${URL}/items', interval = '20ms', jq = '.[]');
    CREATE TEMPORARY TABLE names ($id INTEGER, name STRING) WITH (
        connector = 'lookup-http', url = '${URL}/names/$id');
    CREATE VIEW named AS SELECT i.id, n.name FROM items AS i JOIN names AS n ON i.id = n.id;
    CREATE SINK out FROM named WITH (connector = 'stdout');";

fn serve() -> Server {
    let server = Server::start();
    let count = std::sync::atomic::AtomicI64::new(0);
    server.on("GET", "/items", move |_| {
        let first = 3 * count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let rows = (first..first + 3).map(|id| serde_json::json!({"id": id}));
        Reply::value(&rows.collect())
    });
    server.on("GET", "/names/*", |request| {
        Reply::value(&serde_json::json!({"name": request.path}))
    });
    server
}

#[test]
fn a_run_that_is_killed_leaves_a_record_of_what_it_got() {
    let server = serve();
    let stage = Stage::new(SQL).env("URL", server.url());
    let mut running = stage.recording([]).spawn();
    running.wait_until(|running| running.stdout_line_count() >= 30, "some polls");
    let live = running.kill();
    drop(server);
    let record = stage.record();
    let left = stage.replay_twice();
    // What was printed had been recorded before. The rows of one poll come in any order while it is live.
    let replayed = &left.stdout;
    for line in live.stdout.lines().take(30) {
        assert!(replayed.contains(line), "{live}\nreplayed:\n{replayed}");
    }
    let output = stage.replay();
    assert!(output.stderr.contains("was cut off"), "{output}");

    // Wherever it is cut, it plays up to there.
    let ends: Vec<usize> = record.match_indices('\n').map(|(end, _)| end).collect();
    for (number, at) in (ends[0] + 1..record.len())
        .step_by(record.len() / 12)
        .enumerate()
    {
        stage.project.file("record/record.jsonl", &record[..at]);
        let output = stage.replay().expect_code(0);
        assert!(
            replayed.starts_with(&output.stdout),
            "cut {number} at {at}: {output}\nwhole:\n{replayed}"
        );
    }
}

#[test]
fn a_run_that_is_stopped_amid_a_poll_replays_to_its_end() {
    let server = serve();
    server.on("GET", "/slow", |_| {
        Reply::json("[{\"id\": 7}]").delay(std::time::Duration::from_secs(30))
    });
    let sql = format!(
        "{SQL} CREATE TABLE slow (id INTEGER) WITH (connector = 'http', url = '${{URL}}/slow', \
         interval = '1h', timeout = '2s', retry.initial_backoff = '30s', retry.max_backoff = '30s');"
    );
    let stage = Stage::new(&sql).env("URL", server.url());
    let mut running = stage.recording([]).spawn();
    running.wait_for_stderr("trying again");
    running.interrupt();
    running.wait().expect_code(0);
    drop(server);
    assert_eq!(stage.lines("end").len(), 1);
    let stopped = stage.lines("stopped");
    assert!(
        stopped.iter().any(|line| line["entity"] == "slow"),
        "{stopped:?}"
    );
    let output = stage.replay().expect_code(0);
    assert!(!output.stderr.contains("was cut off"), "{output}");
    stage.replay_twice();
}

#[test]
fn a_line_that_is_none_is_named() {
    let stage = Stage::new(SQL).env("URL", "http://127.0.0.1:9");
    let begin = r#"{"at":"2026-01-01T00:00:00Z","kind":"begin","format":1,"omlsp":"0","sources":["items"]}"#;
    for (record, message) in [
        ("", "is empty"),
        ("{\"a\": 1}\n{}\n", "record.jsonl:1: not a line of a record"),
        (
            "{\"at\":\"2026-01-01T00:00:00Z\",\"kind\":\"end\"}\n",
            "the first line of a record is of the kind `begin`",
        ),
        (
            &format!("{begin}\nxyz\n"),
            "record.jsonl:2: not a line of a record",
        ),
        (
            &begin.replace("\"format\":1", "\"format\":9"),
            "the record has format 9, this omlsp knows up to 1",
        ),
    ] {
        stage.project.file("record/record.jsonl", record);
        let output = stage.replay().expect_code(1);
        assert!(output.stderr.contains(message), "{message}\n{output}");
    }
}
