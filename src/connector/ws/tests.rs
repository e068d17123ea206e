//! Every rule of the options, with the words that the user sees.

use std::time::Duration;

use super::options::{UrlPiece, WsOptions};
use super::*;
use crate::connector::testing::{assert_fault, take};

fn make(with: &str) -> Result<WsOptions, String> {
    take(with, WsOptions::take)
}

fn with_url(with: &str) -> Result<WsOptions, String> {
    make(&format!("url = 'wss://h/p', {with}"))
}

#[test]
fn a_url_is_enough() {
    let options = with_url("").unwrap();
    assert_eq!(
        options.url_pieces,
        [UrlPiece::Literal("wss://h/p".to_owned())]
    );
    assert_eq!(options.ping_interval, Duration::from_secs(20));
    assert_eq!(options.idle_timeout, Duration::from_secs(60));
    assert_eq!(options.batch_rows_max, 1024);
    assert_eq!(options.batch_linger, Duration::from_millis(20));
    assert_eq!(options.frame_bytes_max, 16 * 1024 * 1024);
    assert!(
        options.start.is_none() && options.authorities.is_empty() && options.ping_message.is_none()
    );
    assert!(options.subscribe.is_empty() && options.headers.is_empty());
}

#[test]
fn all_options_are_taken() {
    let options = with_url(
        "jq = '.data', headers.Authorization = SECRET token, ping_interval = '5s', \
         ping_message = 'ping', idle_timeout = '30s', batch.max_rows = 10, batch.linger = '0ms', \
         max_frame_bytes = '1MiB', on_error = 'skip', timestamp_unit = 'ns'",
    )
    .unwrap();
    assert_eq!(options.headers[0].1.expose(), "s3cr3t");
    assert_eq!(options.rows.on_error, OnError::Skip);
    assert_eq!(options.frame_bytes_max, 1024 * 1024);
    assert!(!format!("{options:?}").contains("s3cr3t"));
}

#[test]
fn the_url_is_one_of_a_websocket() {
    assert_fault(make(""), &["option `url` is missing"]);
    assert_fault(
        make("url = 'https://h/'"),
        &["`https` is not the scheme of a WebSocket"],
    );
    assert_fault(make("url = 'h/p'"), &["`url` is not a WebSocket address"]);
    assert_fault(
        make("url = 'ws://h/p#f'"),
        &["a WebSocket address has no `#` part"],
    );
    assert_fault(
        make("url = 'wss://user:pass@h/'"),
        &[
            "credentials in a URL are not sent",
            "`headers.Authorization`",
        ],
    );
    assert!(make("url = 'ws://127.0.0.1:8080/a?b=c'").is_ok());
    assert!(make("url = SECRET token").is_err());
}

#[test]
fn columns_in_the_url_need_a_query() {
    let query = "on_start_query = 'SELECT symbol, id FROM pairs'";
    let with = format!("url = 'wss://h/$symbol@trade?id=$id&c=$$x', {query}");
    let options = make(&with).unwrap();
    let literal = |text: &str| UrlPiece::Literal(text.to_owned());
    let expected = [
        literal("wss://h/"),
        UrlPiece::Column("symbol".to_owned()),
        literal("@trade?id="),
        UrlPiece::Column("id".to_owned()),
        literal("&c=$x"),
    ];
    assert_eq!(options.url_pieces, expected);
    let source = WsSource {
        options,
        columns: Vec::new(),
    };
    let start = source.start_query().unwrap();
    assert_eq!(start.text.expose(), "SELECT symbol, id FROM pairs");
    let columns: Vec<&str> = start
        .columns
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(columns, ["symbol", "id"]);
    let without = make("url = 'wss://h/$symbol'");
    assert_fault(
        without,
        &["`$symbol` needs an `on_start_query`", "test.sql:1:22"],
    );
    let host = make(&format!("url = 'wss://$symbol.h/', {query}"));
    assert_fault(host, &["a `$column` cannot be part of the host"]);
    assert_fault(
        with_url("on_start_query = ' '"),
        &["`on_start_query` is empty"],
    );
    let refresh = with_url("on_start_refresh = '5s'");
    assert_fault(
        refresh,
        &["`on_start_refresh` has no meaning without `on_start_query`"],
    );
}

#[test]
fn columns_where_none_is_put_in_are_noted() {
    let options = with_url(
        "on_start_query = 'SELECT m FROM g', headers.X = 'a $m', subscribe.0 = '{\"$m\":\"$$n $1 $k\"}', \
         subscribe.1 = '${DOLLARS}', ping_message = '$p'",
    )
    .unwrap();
    let kept = options.start.unwrap().query.kept;
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["m", "m", "k", "p"]);
}

#[test]
fn a_variable_in_the_url_is_no_template() {
    let query = "on_start_query = 'SELECT symbol FROM pairs'";
    let options = make(&format!("url = 'wss://h/$symbol${{DOLLARS}}', {query}")).unwrap();
    let expected = [
        UrlPiece::Literal("wss://h/".to_owned()),
        UrlPiece::Column("symbol".to_owned()),
        UrlPiece::Literal("a$b$$".to_owned()),
    ];
    assert_eq!(options.url_pieces, expected);
}

#[test]
fn subscriptions_are_numbered_from_0_without_holes() {
    let mut with = String::new();
    for number in (0..12).rev() {
        with.push_str(&format!("subscribe.{number} = 'm{number}', "));
    }
    let options = with_url(&with).unwrap();
    let texts: Vec<&str> = options.subscribe.iter().map(|text| text.expose()).collect();
    assert_eq!(texts[..3], ["m0", "m1", "m2"]);
    assert_eq!(texts[11], "m11");
    let hole = with_url("subscribe.0 = 'a', subscribe.2 = 'c'");
    assert_fault(
        hole,
        &[
            "`subscribe.2` is given, but not `subscribe.1`",
            "from 0 without holes",
        ],
    );
    assert_fault(
        with_url("subscribe.1 = 'a'"),
        &["`subscribe.1` is given, but not `subscribe.0`"],
    );
    assert_fault(
        with_url("subscribe.a = 'a'"),
        &["`a` is not the number of a message"],
    );
    assert_fault(
        with_url("subscribe.00 = 'a'"),
        &["`00` is not the number of a message"],
    );
}

#[test]
fn headers_are_those_of_http() {
    let wrong = with_url("headers.A@B = 'x'");
    assert_fault(wrong, &["`A@B` cannot be the name of a header"]);
    let reserved = with_url("headers.Upgrade = 'x'");
    assert_fault(
        reserved,
        &["header `Upgrade` is set by the protocol itself"],
    );
    assert_fault(
        with_url("headers.A = 'x\ny'"),
        &["header `A` has a control character"],
    );
}

#[test]
fn timers_and_bounds_are_checked() {
    let idle = with_url("ping_interval = '90s'");
    assert_fault(
        idle,
        &["`idle_timeout` (60s) is not longer than `ping_interval` (90s)"],
    );
    assert_fault(
        with_url("ping_interval = '0s'"),
        &["`ping_interval` is not a duration of '10ms' or more"],
    );
    assert_fault(
        with_url("batch.max_rows = 0"),
        &["`batch.max_rows` is not a whole number from 1"],
    );
    assert_fault(
        with_url("batch.linger = '1m'"),
        &["`batch.linger` is not a duration from '0ms' to '10s'"],
    );
    assert_fault(
        with_url("max_frame_bytes = '4GiB'"),
        &["`max_frame_bytes` is not a size"],
    );
    let plain = make("url = 'ws://h/', tls.ca = 'ca.pem'");
    assert_fault(
        plain,
        &[
            "`tls.ca` has no meaning for a `ws://` address",
            "not encrypted",
        ],
    );
    assert_fault(
        with_url("heartbeat = '5s'"),
        &["unknown option `heartbeat`"],
    );
}

#[test]
fn the_file_of_authorities_is_read_when_the_options_are() {
    assert_fault(
        with_url("tls.ca = '/nowhere/ca.pem'"),
        &[
            "`tls.ca` cannot be used: No such file",
            "test.sql:1:35",
            "expected a PEM file",
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let with = format!("tls.ca = '{}'", path.display());
    std::fs::write(&path, "no certificate").unwrap();
    assert_fault(with_url(&with), &["it holds no PEM certificate"]);
    let broken = "-----BEGIN CERTIFICATE-----\nMTIz\n-----END CERTIFICATE-----\n";
    std::fs::write(&path, broken).unwrap();
    assert_fault(with_url(&with), &["certificate 1 of the file is not valid"]);
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nMTIz\n").unwrap();
    assert_fault(
        with_url(&with),
        &["it has no `-----END CERTIFICATE-----` line: is it cut off?"],
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    std::fs::write(&path, authority.pem()).unwrap();
    assert_eq!(with_url(&with).unwrap().authorities.len(), 1);
}
