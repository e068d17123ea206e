//! Where a new sink begins, also when it cannot write at first.

use std::net::SocketAddr;

use super::support::address;
use super::support::binary::{Output, Project};
use super::support::http::{Reply, Server};

/// A pipeline over a log that grows, and a sink that is added later.
struct Scene {
    project: Project,
    source: Server,
    sink: SocketAddr,
}

impl Scene {
    fn new(columns: &str) -> Self {
        let source = Server::start();
        let project = Project::new();
        project.file(
            "a.sql",
            format!(
                "CREATE TABLE t ({columns}) WITH (connector = 'http', url = '{}/rows', interval = '1h',
                 pagination.type = 'cursor-based', pagination.cursor_param = 'after',
                 pagination.cursor_id = 'id');",
                source.url()
            ),
        );
        let scene = Self {
            project,
            source,
            sink: address::unused(),
        };
        scene.serve(2);
        scene
    }

    /// Serves the rows 1 to `last`.
    fn serve(&self, last: u64) {
        self.source.on("GET", "/rows", move |request| {
            let after: u64 = request
                .param("after")
                .map_or(0, |text| text.parse().expect("a number"));
            let rows: Vec<String> = (after + 1..=last)
                .map(|id| format!(r#"{{"id": {id}, "k": {}}}"#, id % 2))
                .collect();
            Reply::json(format!("[{}]", rows.join(", ")))
        });
    }

    /// Adds the sink's statement.
    fn add_sink(&self, from: &str, options: &str) {
        self.project.file(
            "b.sql",
            format!(
                "CREATE SINK s FROM ({from}) WITH (connector = 'http', url = 'http://{}/', method = 'POST',
                 retry.max_attempts = 1, {options});",
                self.sink
            ),
        );
    }

    fn once(&self) -> Output {
        self.project
            .omlsp(["run", ".", "--once", "--state-dir", "st"])
            .run()
    }

    /// Runs with the sink's server there; returns the bodies it got.
    fn received(&self) -> Vec<String> {
        let server = Server::start_at(self.sink);
        server.on("POST", "/", |_| Reply::json("{}"));
        self.once().expect_code(0);
        let requests = server.requests();
        requests
            .iter()
            .map(|request| request.body_text().to_owned())
            .collect()
    }
}

#[test]
fn a_sink_without_snapshot_that_fails_at_first_misses_nothing() {
    let scene = Scene::new("id BIGINT");
    scene.once().expect_code(0);
    scene.add_sink("SELECT id FROM t", "snapshot = false");
    scene.serve(4);
    scene.once().expect_code(1);
    assert_eq!(scene.received(), [r#"{"id":3}"#, r#"{"id":4}"#]);
    assert_eq!(scene.received(), [""; 0]);
}

#[test]
fn a_sink_of_an_aggregate_without_snapshot_gets_changes_only() {
    let scene = Scene::new("id BIGINT");
    scene.once().expect_code(0);
    scene.add_sink(
        "SELECT count(*) AS n FROM t",
        "snapshot = false, changes = 'op'",
    );
    // Nothing new: the first evaluation is the snapshot.
    assert_eq!(scene.received(), [""; 0]);
    scene.serve(5);
    scene.once().expect_code(1);
    let changes = [r#"{"op":"delete","n":2}"#, r#"{"op":"insert","n":5}"#];
    assert_eq!(scene.received(), changes);
}

#[test]
fn the_content_of_a_keyed_table_is_written_once() {
    let scene = Scene::new("k BIGINT, id BIGINT, PRIMARY KEY (k)");
    scene.once().expect_code(0);
    scene.add_sink("SELECT id FROM t", "changes = 'op'");
    let mut content = scene.received();
    content.sort();
    assert_eq!(
        content,
        [r#"{"op":"insert","id":1}"#, r#"{"op":"insert","id":2}"#]
    );
    assert_eq!(scene.received(), [""; 0]);
    scene.serve(3);
    let changes = [r#"{"op":"delete","id":1}"#, r#"{"op":"insert","id":3}"#];
    assert_eq!(scene.received(), changes);
}

#[test]
fn a_sink_without_snapshot_that_begins_with_its_source_gets_all_changes() {
    let scene = Scene::new("id BIGINT");
    scene.add_sink(
        "SELECT count(*) AS n FROM t",
        "snapshot = false, changes = 'op'",
    );
    let changes = [r#"{"op":"delete","n":0}"#, r#"{"op":"insert","n":2}"#];
    assert_eq!(scene.received(), changes);
}
