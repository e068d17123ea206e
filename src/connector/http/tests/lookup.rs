//! Lookups: where params land, and what an answer is.

use serde_json::{Value, json};

use super::server::{Server, ok, reply};
use super::{QUICK, rows, tick};
use crate::batch::array::AsArray;
use crate::batch::datatypes::{DataType, Int64Type};
use crate::batch::{Column, Decoded};
use crate::connector::http::LOOKUP_HTTP;
use crate::connector::{Declared, LookupConnector, testing};

fn column(name: &str, arrow: DataType) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: arrow.to_string(),
        arrow,
        nullable: true,
        in_key: false,
    }
}

/// Makes a lookup with params `symbol` and `n`, and one column `id`.
pub fn lookup(with: &str) -> Result<Box<dyn LookupConnector>, String> {
    testing::take(with, |options| {
        let declared = Declared {
            columns: vec![column("id", DataType::Int64)],
            included: Vec::new(),
            params: vec![
                column("symbol", DataType::Utf8),
                column("n", DataType::Int64),
            ],
            columns_span: options.span(),
            places: Vec::new(),
        };
        LOOKUP_HTTP.lookup.unwrap()(options, &declared)
    })
}

fn request(with: &str, params: [Value; 2]) -> anyhow::Result<Decoded> {
    let lookup = lookup(&format!("{QUICK}, {with}")).unwrap_or_else(|faults| panic!("{faults}"));
    let (context, _) = testing::context();
    lookup.request(&params, tick(0), &context)
}

#[test]
fn params_are_escaped_for_where_they_land() {
    let server = Server::start(|_, _| ok(rows([1, 2])));
    let with = format!(
        "url = '{}/$symbol/x?q=$symbol&n=$n', method = 'POST', headers.X-N = 'n $n', params.p = '=$symbol', \
         json.a.b = '$n', json.a.c = 'is $symbol', json.l = '[1, \"$symbol\", true]', json.t = '\"5\"'",
        server.url
    );
    let answer = request(&with, [json!("A&symbol=B/\""), json!(3)]).unwrap();
    assert_eq!(answer.rows.num_rows(), 2);
    let seen = server.seen().remove(0);
    let value = "A%26symbol%3DB%2F%22";
    assert_eq!(
        seen.target,
        format!("/{value}/x?q={value}&n=3&p=%3D{value}")
    );
    assert_eq!(seen.header("x-n"), Some("n 3"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let symbol = "A&symbol=B/\"";
    let expected =
        json!({"a": {"b": 3, "c": format!("is {symbol}")}, "l": [1, symbol, true], "t": "5"});
    assert_eq!(body, expected);
}

#[test]
fn a_variable_is_sent_as_it_is_beside_params() {
    let server = Server::start(|_, _| ok("[]"));
    let with = format!(
        "url = '{}/$n${{DOLLARS}}?u=${{DOLLARS}}', method = 'POST', headers.H = '${{DOLLARS}}-$symbol', \
         params.p = '$$${{DOLLARS}}', json.a = '${{DOLLARS}}', json.b = '[\"${{DOLLARS}}-$symbol\"]', \
         json.c = '{{\"${{DOLLARS}}\": 1}}'",
        server.url
    );
    request(&with, [json!("s"), json!(3)]).unwrap();
    let seen = server.seen().remove(0);
    assert_eq!(seen.target, "/3a$b$$?u=a$b$$&p=%24a%24b%24%24");
    assert_eq!(seen.header("h"), Some("a$b$$-s"));
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(
        body,
        json!({"a": "a$b$$", "b": ["a$b$$-s"], "c": {"a$b$$": 1}})
    );
    let raw = format!(
        "url = '{}/$n', method = 'POST', body = '${{DOLLARS}}$symbol'",
        server.url
    );
    request(&raw, [json!("s"), json!(3)]).unwrap();
    assert_eq!(server.seen()[1].body, "a$b$$\"s\"");
}

#[test]
fn keywords_without_quotes_are_values_whatever_their_case() {
    let server = Server::start(|_, _| ok("[]"));
    let with = format!(
        "url = '{}/$n/$symbol', method = 'POST', json.a = NULL, json.b = TRUE, json.c = False, \
         json.d = null, json.e = 'NULL', json.f = 'true', json.g = Nulls",
        server.url
    );
    request(&with, [json!("s"), json!(3)]).unwrap();
    let body: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    let expected = json!({
        "a": null, "b": true, "c": false, "d": null, "e": "NULL", "f": true, "g": "Nulls",
    });
    assert_eq!(body, expected);
}

#[test]
fn a_raw_body_is_escaped_as_json_or_as_a_form() {
    let server = Server::start(|_, _| ok("[]"));
    let params = || [json!("a\"b c"), json!(3)];
    let json_body = "body = '{\"s\": $symbol, \"t\": \"<$symbol>\", \"n\": $n}'";
    request(
        &format!("url = '{}', method = 'POST', {json_body}", server.url),
        params(),
    )
    .unwrap();
    let form =
        "headers.Content-Type = 'application/x-www-form-urlencoded', body = 's=$symbol&n=$n'";
    request(
        &format!("url = '{}', method = 'DELETE', {form}", server.url),
        params(),
    )
    .unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].body, r#"{"s": "a\"b c", "t": "<a\"b c>", "n": 3}"#);
    assert_eq!(
        (seen[1].method.as_str(), seen[1].body.as_str()),
        ("DELETE", "s=a%22b%20c&n=3")
    );
}

#[test]
fn values_that_would_break_out_are_refused() {
    let server = Server::start(|_, _| ok("[]"));
    let header = format!("url = '{}/$n', headers.X-S = '$symbol'", server.url);
    let error = request(&header, [json!("a\r\nX-Evil: 1"), json!(1)]).unwrap_err();
    assert!(error.to_string().contains("control character"), "{error}");
    for dots in [".", ".."] {
        let path = format!("url = '{}/$n/$symbol', ", server.url);
        let error = request(&path, [json!(dots), json!(1)]).unwrap_err();
        assert!(
            error.to_string().contains("cannot stand in the path"),
            "{error}"
        );
    }
    assert!(server.seen().is_empty());
}

#[test]
fn nothing_there_is_an_empty_answer_and_a_failure_an_error() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/none/1" => reply(404, &[], "no"),
        "/empty/1" => reply(204, &[], ""),
        "/bad/1" => reply(400, &[], "bad symbol"),
        _ => ok(rows([9])),
    });
    let with = format!("url = '{}/$symbol/$n'", server.url);
    let ask = |symbol: &str| request(&with, [json!(symbol), json!(1)]);
    assert_eq!(ask("none").unwrap().rows.num_rows(), 0);
    assert_eq!(
        ask("none").unwrap().rows.schema(),
        ask("some").unwrap().rows.schema()
    );
    assert_eq!(
        ask("some")
            .unwrap()
            .rows
            .column(0)
            .as_primitive::<Int64Type>()
            .value(0),
        9
    );
    assert!(
        ask("bad")
            .unwrap_err()
            .to_string()
            .contains("status 400 Bad Request: bad symbol")
    );
    // HTTP/1.1 connections end with a 204 here, since the server sends a length with it.
    assert_eq!(ask("empty").unwrap().rows.num_rows(), 0);
}

#[test]
fn limits_are_read() {
    let url = "url = 'http://x/$symbol/$n'";
    let limits = |with: &str| lookup(&format!("{url}, {with}")).map(|lookup| lookup.limits());
    let plain = limits("").unwrap();
    assert_eq!(
        (plain.concurrency, plain.cache, plain.fail),
        (64, None, false)
    );
    let cached = "lookup.cache = 'lru', lookup.cache.max_rows = 5, lookup.cache.missing = 'false'";
    let cache = limits(cached).unwrap().cache.unwrap();
    assert_eq!(
        (cache.rows_max, cache.ttl.as_secs(), cache.missing),
        (5, 60, false)
    );
    assert!(
        limits("lookup.on_error = 'fail', lookup.concurrency = 2")
            .unwrap()
            .fail
    );
    testing::assert_fault(
        limits("lookup.cache.ttl = '5s'"),
        &["without a cache", "lookup.cache = 'lru'"],
    );
}
