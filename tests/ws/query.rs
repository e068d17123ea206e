//! One connection per row of `on_start_query`.

use std::sync::{Arc, Mutex};

use async_tungstenite::tungstenite::Message;
use serde_json::{Value, json};

use crate::harness::Run;
use crate::support::ws::{Step, WsServer, text};

/// The rows of the query, to be changed by a test.
type Rows = Arc<Mutex<anyhow::Result<Value>>>;

fn open(server: &WsServer, rows: &Rows) -> Run {
    let with = format!(
        "url = '{}/$symbol@trade', on_start_query = 'SELECT symbol FROM pairs', on_start_refresh = '50ms'",
        server.url()
    );
    let rows = Arc::clone(rows);
    Run::open_with_query(&with, move |sql| {
        assert_eq!(sql, "SELECT symbol FROM pairs");
        match &*rows.lock().unwrap() {
            Ok(rows) => Ok(serde_json::from_value(rows.clone())?),
            Err(error) => anyhow::bail!("{error}"),
        }
    })
}

fn set(rows: &Rows, value: Value) {
    *rows.lock().unwrap() = Ok(value);
}

fn targets(server: &WsServer) -> Vec<String> {
    let mut targets: Vec<String> = server
        .visits()
        .into_iter()
        .map(|visit| visit.target)
        .collect();
    targets.sort();
    targets
}

#[test]
fn only_the_difference_is_opened_or_closed() {
    let server = WsServer::start();
    server.script("/*", vec![vec![text(r#"{"a":1}"#)]]);
    let rows: Rows = Arc::new(Mutex::new(Ok(json!([]))));
    let mut run = open(&server, &rows);
    for _ in 0..4 {
        run.read(&mut |_| Ok(())).unwrap();
    }
    assert_eq!(server.connections_opened(), 0);

    set(
        &rows,
        json!([{"symbol": "btc"}, {"symbol": "a/b c"}, {"symbol": "btc"}]),
    );
    run.until_rows(2);
    assert_eq!(targets(&server), ["/a%2Fb%20c@trade", "/btc@trade"]);

    set(
        &rows,
        json!([{"symbol": "btc"}, {"symbol": "eth"}, {"symbol": null}]),
    );
    run.until_rows(3);
    run.until("the removed one is closed", |_| server.open_count() == 2);
    assert_eq!(
        targets(&server),
        ["/a%2Fb%20c@trade", "/btc@trade", "/eth@trade"]
    );
    let removed = server
        .visits()
        .into_iter()
        .find(|visit| visit.target.starts_with("/a"))
        .unwrap();
    let closed: Vec<u64> = (server.received().iter())
        .filter(|received| matches!(received.message, Message::Close(_)))
        .map(|received| received.connection)
        .collect();
    assert_eq!(closed, [removed.connection]);

    // A failing query changes nothing, and a row without an address is told once.
    *rows.lock().unwrap() = Err(anyhow::anyhow!("no such table"));
    run.until("the failure", |run| {
        run.retries().iter().any(|(n, _, _)| *n >= 3)
    });
    assert_eq!(run.retries()[0].2, "`on_start_query`: no such table");
    assert_eq!((server.open_count(), server.visits().len()), (2, 3));
    let warnings = run.warnings();
    assert_eq!(
        warnings,
        ["a row of `on_start_query` has no `symbol` for the url: {\"symbol\":null}"]
    );
    assert!(run.gaps().is_empty());
}

#[test]
fn each_connection_has_gaps_of_its_own() {
    let server = WsServer::start();
    let first = vec![text(r#"{"a":1}"#), Step::Close(1012, "restart".to_owned())];
    server.script("/btc@trade", vec![first, vec![text(r#"{"a":2}"#)]]);
    server.script("/eth@trade", vec![vec![text(r#"{"a":3}"#)]]);
    let rows: Rows = Arc::new(Mutex::new(Ok(
        json!([{"symbol": "btc"}, {"symbol": "eth"}]),
    )));
    let mut run = open(&server, &rows);
    run.until_rows(3);
    let gaps = run.until_gaps(1);
    assert_eq!((gaps.len(), gaps[0].part.as_str()), (1, "symbol=btc"));
    let lost = "symbol=btc: connection lost: the server closed the connection with 1012: restart";
    assert_eq!(run.retries()[0].2, lost);
    assert_eq!(server.visits().len(), 3);
}
