//! Nodes that stop for a statement and start again: whoever reads them goes on.

use std::time::Duration;

use serde_json::Value;

use crate::owner::{Owner, PIPELINE};
use crate::support::binary::{Project, wait_until};
use crate::support::http::{Reply, Server};

/// Longer than a statement waits for what an entity is doing.
const LATE: Duration = Duration::from_secs(64);

fn number(owner: &Owner<'_>, sql: &str) -> i64 {
    let rows = owner.rows(sql);
    rows[0].get(0).and_then(Value::as_i64).unwrap_or(0)
}

/// Waits until a count has grown by some rows.
fn wait_for_more(owner: &Owner<'_>, sql: &str) {
    let before = number(owner, sql);
    owner.wait_for(&format!("SELECT ({sql}) > {} AS ok", before + 5));
}

#[test]
fn who_reads_a_source_whose_secret_changes_goes_on() {
    let server = Server::start();
    server.on("GET", "/rows", |_| Reply::json(r#"[{"a": 1}]"#));
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    let create = format!(
        "CREATE SECRET token WITH (backend = 'meta') AS 'of-before';
         CREATE SOURCE remote (a BIGINT) WITH (connector = 'http', url = '{}/rows', interval = '20ms',
             auth.type = 'bearer', auth.token = SECRET token);
         CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM remote;
         CREATE MATERIALIZED VIEW twice AS SELECT 2 * n AS n FROM seen",
        server.url()
    );
    let answer = owner.connect().run(&create);
    assert!(answer.error.is_none(), "{answer:?}");
    wait_for_more(&owner, "SELECT max(n) FROM twice");
    let replace = "CREATE OR REPLACE SECRET token WITH (backend = 'meta') AS 'of-after'";
    let answer = owner.connect().run(replace);
    assert!(answer.error.is_none(), "{answer:?}");
    wait_for_more(&owner, "SELECT max(n) FROM twice");
    let last = server.last_request();
    assert_eq!(last.header("authorization"), Some("Bearer of-after"));
    owner.stop();
}

#[test]
fn a_view_that_nobody_read_for_a_while_goes_on_for_the_next_reader() {
    let server = Server::start();
    server.on("GET", "/price", |_| Reply::json(r#"[{"price": 1}]"#));
    let project = Project::new();
    project.file(
        "p.sql",
        format!(
            "CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate', rows_per_second = 50);
             CREATE TEMP TABLE lk ($n BIGINT, price BIGINT) WITH (
                 connector = 'lookup-http', url = '{}/price?n=$n');
             CREATE VIEW priced AS SELECT t.n, lk.price FROM ticks t JOIN lk ON lk.n = t.n;",
            server.url()
        ),
    );
    let owner = Owner::start(&project);
    for name in ["first", "second", "third"] {
        let create = format!("CREATE MATERIALIZED VIEW {name} AS SELECT n FROM priced");
        owner
            .connect()
            .run(&create)
            .expect_message("created MATERIALIZED VIEW");
        wait_for_more(&owner, &format!("SELECT count(*) FROM {name}"));
        owner
            .connect()
            .run(&format!("DROP MATERIALIZED VIEW {name}"))
            .expect_message("dropped MATERIALIZED VIEW");
    }
    owner.stop();
}

#[test]
fn who_has_ended_stays_so_whatever_else_is_created() {
    let project = Project::new();
    project.file(
        "p.sql",
        format!(
            "{PIPELINE}
             CREATE TABLE few (n BIGINT) WITH (connector = 'generate', rows = 3);
             CREATE VIEW seen AS SELECT n FROM few;
             CREATE SINK printed FROM seen WITH (connector = 'stdout');"
        ),
    );
    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) = 3 AS ok FROM few");
    let state = || owner.rows("SHOW SINKS").remove(0).to_string();
    wait_until(
        || state().contains("finished"),
        "the sink has written everything",
    );
    let before = state();
    for name in ["a", "b"] {
        let create = format!("CREATE VIEW {name} AS SELECT n FROM few");
        owner.connect().run(&create).expect_message("created VIEW");
    }
    assert_eq!(state(), before);
    owner.stop();
}

#[test]
fn a_statement_that_waits_in_vain_leaves_everything_at_work() {
    let server = Server::start();
    server.script(
        "/slow",
        vec![
            Reply::json(r#"[{"price": 1}]"#).delay(LATE + Duration::from_secs(6)),
            Reply::json(r#"[{"price": 2}]"#),
        ],
    );
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    let create = format!(
        "CREATE SOURCE beats (n BIGINT) WITH (connector = 'generate', rows_per_second = 50);
         CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM beats;
         CREATE TEMP TABLE lk ($n BIGINT, price BIGINT) WITH (
             connector = 'lookup-http', url = '{}/slow?n=$n', timeout = '100s');
         CREATE MATERIALIZED VIEW priced AS
             SELECT t.n, lk.price FROM beats t JOIN lk ON lk.n = t.n WHERE t.n % 50 = 0",
        server.url()
    );
    let answer = owner.connect().run(&create);
    assert!(answer.error.is_none(), "{answer:?}");
    wait_for_more(&owner, "SELECT n FROM counted");
    owner
        .connect()
        .run("DROP SOURCE beats CASCADE")
        .expect_error("did not stop within");
    wait_for_more(&owner, "SELECT n FROM counted");
    owner.wait_for("SELECT count(*) > 2 AS ok FROM priced");
    wait_for_more(&owner, "SELECT n FROM counted");
    owner
        .connect()
        .run("DROP SOURCE beats CASCADE")
        .expect_message("dropped SOURCE beats");
    owner.stop();
}
