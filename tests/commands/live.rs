//! Queries that ask lookups now.

use serde_json::json;

use crate::owner::Owner;
use crate::support::binary::Project;
use crate::support::http::{Reply, Server};

fn pipeline(url: &str) -> String {
    format!(
        "CREATE TABLE markets (n BIGINT, symbol STRING AS ('S' || n)) WITH (connector = 'generate', rows = 20);
         CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate', rows_per_second = 1);
         CREATE TEMP TABLE price ($symbol STRING, price DOUBLE) WITH (
             connector = 'lookup-http', url = '{url}/price/$symbol', retry.max_attempts = 1);
         CREATE VIEW priced AS SELECT m.symbol, p.price FROM markets m LEFT JOIN price p ON m.symbol = p.symbol;
         CREATE VIEW dear AS SELECT symbol FROM priced WHERE price > 15;"
    )
}

#[test]
fn a_view_with_a_lookup_asks_now_and_within_its_bound() {
    let server = Server::start();
    for n in 0..20 {
        let reply = move |_: &_| Reply::json(format!("[{{\"price\": {n}.5}}]"));
        server.on("GET", &format!("/price/S{n}"), reply);
    }
    let project = Project::new();
    project.file("p.sql", pipeline(&server.url()));
    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) = 20 AS ok FROM markets");
    // Nobody reads the views, so nobody has asked.
    assert_eq!(server.request_count(), 0);
    let check = |rows: &dyn Fn(&str) -> Vec<serde_json::Value>| {
        server.clear_requests();
        let all = rows("SELECT count(*) AS n, sum(price) AS s FROM priced");
        assert_eq!(all, [json!([20, 200.0])]);
        assert_eq!(server.requests().len(), 20);
        assert_eq!(
            rows("SELECT symbol FROM dear ORDER BY symbol LIMIT 1"),
            [json!(["S15"])]
        );
        let direct = "SELECT max(p.price) AS price FROM markets m JOIN price p ON p.symbol = m.symbol WHERE m.n < 3";
        server.clear_requests();
        assert_eq!(rows(direct), [json!([2.5])]);
        assert_eq!(server.requests().len(), 3);
    };
    check(&|sql| owner.rows(sql));
    let mut connection = owner.connect();
    connection
        .run("SET lookup_requests_max = 10; SELECT * FROM priced")
        .expect_error("this would ask `price` 20 times, more than lookup_requests_max (10) allows");
    connection
        .run("SELECT * FROM price")
        .expect_error("cannot be read alone");
    connection
        .run(
            "SELECT n, (SELECT max(p.price) FROM price p WHERE p.symbol = m.symbol) FROM markets m",
        )
        .expect_error("lookup `price` cannot be read alone");
    let answer = connection.run("SELECT * FROM priced");
    assert_eq!(answer.messages, ["20 requests to `price`"]);
    // A 404 would be an answer without rows.
    server.on("GET", "/price/S3", |_| Reply::status(400));
    let answer = connection.run("SELECT price FROM priced WHERE symbol = 'S3'");
    assert_eq!(
        answer.messages,
        ["20 requests to `price`, 1 failed: see omlsp_errors"]
    );
    assert_eq!(answer.expect_rows(), [json!([null])]);
    let explained = connection.run("EXPLAIN SELECT * FROM dear").expect_rows();
    assert!(
        explained[2][2]
            .as_str()
            .unwrap()
            .contains("asks `price` once"),
        "{explained:?}"
    );
    owner.stop();
    server.on("GET", "/price/S3", |_| Reply::json(r#"[{"price": 3.5}]"#));
    check(&|sql| {
        let args = ["sql", "--state-dir", "state", "--format", "json", sql];
        let lines = project.omlsp(args).run().expect_code(0).json_lines();
        let values =
            |line: serde_json::Value| line.as_object().unwrap().values().cloned().collect();
        lines.into_iter().map(values).collect()
    });
}
