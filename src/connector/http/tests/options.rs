//! Options that are wrong, and what the user is told.

use std::sync::Arc;

use super::lookup::lookup;
use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::connector::http::client::Client;
use crate::connector::http::request::Role;
use crate::connector::http::{HTTP, LOOKUP_HTTP};
use crate::connector::testing::{self, assert_fault};

/// A source with a URL and an interval, and these options.
#[track_caller]
fn check(with: &str, parts: &[&str]) {
    let with = format!("url = 'http://h/x', interval = '1s', {with}");
    assert_fault(
        testing::source(&HTTP, &[("id", DataType::Int64)], &with),
        parts,
    );
}

#[track_caller]
fn check_lookup(with: &str, parts: &[&str]) {
    assert_fault(lookup(with), parts);
}

#[test]
fn each_role_belongs_to_its_connector() {
    assert!(HTTP.lookup.is_none() && LOOKUP_HTTP.source.is_none() && LOOKUP_HTTP.sink.is_none());
}

#[test]
fn urls() {
    let url = |with: &str, parts: &[&str]| {
        let with = format!("interval = '1s', {with}");
        assert_fault(
            testing::source(&HTTP, &[("id", DataType::Int64)], &with),
            parts,
        );
    };
    url("", &["option `url` is missing"]);
    url("url = 'ftp://h/x'", &["scheme `ftp`", "https://"]);
    url("url = 'h/x'", &["`h/x` is not a URL"]);
    url(
        "url = 'https://u:p@h/'",
        &["credentials in a URL", "auth.type = 'basic'"],
    );
    url("url = 'https://h/#a'", &["after `#`"]);
    url(
        "url = 'https://h/$symbol'",
        &[
            "`$symbol` is not declared: only a lookup has params",
            "$$symbol",
        ],
    );
    check_lookup(
        "url = 'https://$symbol/$n'",
        &["cannot stand in the scheme or host"],
    );
    check_lookup(
        "url = 'https://h/$symbl/$n/$symbol'",
        &["param `$symbl` is not declared", "did you mean `$symbol`?"],
    );
    check_lookup(
        "url = 'https://h/$symbol'",
        &["param `$n` is used in no request option"],
    );
}

#[test]
fn a_fault_in_a_template_and_in_a_filter_is_shown_at_its_place() {
    let template =
        "params.q = 'a $b')\n  |                                                          ^^\n";
    check("params.q = 'a $b'", &[template]);
    check("jq = '.a |'", &["jq = '.a |'", "^"]);
}

#[test]
fn params_that_stand_in_the_url_too() {
    let parts = [
        "`n` stands in `url` and in `params.n`",
        "stands here too",
        "leave one of them out",
    ];
    let doubled = "url = 'http://h/x?m=2&n=1', params.n";
    let polled = format!("{doubled} = 5, interval = '1s'");
    assert_fault(
        testing::source(&HTTP, &[("id", DataType::Int64)], &polled),
        &parts,
    );
    let asked = format!("{doubled} = '$n', params.s = '$symbol'");
    check_lookup(&asked, &parts);
    let schema = Arc::new(ArrowSchema::new(vec![Field::new(
        "id",
        DataType::Int64,
        true,
    )]));
    let written = format!("{doubled} = 5");
    assert_fault(testing::sink(&HTTP, &schema, &written), &parts);
    // However the name is written; what only looks like it is another one.
    for (url, params) in [
        ("http://h/?%6E=$n", "n = 1, params.s = '$symbol'"),
        ("http://h/$symbol?a+b&c", "a b = '$n'"),
        ("http://h/$symbol?$$filter=x", "$filter = '$n'"),
    ] {
        check_lookup(
            &format!("url = '{url}', params.{params}"),
            &["stands in `url` and in `params.", "^"],
        );
    }
    let others = "url = 'http://h/n=1/n?m=n&$symbol=n&nn', params.n = '$n', params.symbol = 1";
    lookup(others).unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn params_that_something_else_sets() {
    let paged = "pagination.type = 'page-based'";
    check(
        &format!("{paged}, params.page = 3"),
        &[
            "`params.page` would be replaced: `pagination.type` sets `page` too",
            "^",
            "`pagination.start` is the first page",
        ],
    );
    check(
        &format!("{paged}, pagination.page_param = 'p', params.p = 3"),
        &["`params.p` would be replaced: `pagination.page_param` sets `p` too"],
    );
    check(
        &format!("{paged}, pagination.size_param = 'page', pagination.size = 5"),
        &["`page` is the parameter of the page or cursor already", "^"],
    );
    let key = "auth.type = 'api-key', auth.key = 'k', auth.param = 'q'";
    check(
        &format!("{key}, params.q = 'x'"),
        &["`params.q` would be replaced: `auth.param` sets `q` too"],
    );
    check_lookup(
        &format!("url = 'http://h/$n/$symbol?q=1', {key}"),
        &[
            "`q` stands in `url` and is set by `auth.param`",
            "sets it too",
        ],
    );
    let hmac = "auth.type = 'hmac-sha256', auth.secret = 's', auth.signature_param = 's'";
    check(
        &format!("{hmac}, auth.timestamp_param = 's', params.s = 'x'"),
        &[
            "parameter `s` is set by `auth.signature_param` and by `auth.timestamp_param`",
            "`params.s` would be replaced",
        ],
    );
    // What the number of a page replaces in `url` is a first value, as servers show it in their examples.
    let with = format!("url = 'http://h/?page=0', interval = '1s', {paged}, params.q = 1");
    testing::source(&HTTP, &[("id", DataType::Int64)], &with)
        .map(|_| ())
        .unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn headers_that_something_else_sets() {
    check(
        "auth.type = 'hmac-sha256', auth.secret = 's', auth.header = 'X-T', auth.timestamp_header = 'x-t'",
        &["header `x-t` is set by `auth.header` and by `auth.timestamp_header`"],
    );
    check(
        "headers.If-None-Match = '\"a\"'",
        &[
            "header `if-none-match` is set by conditional requests",
            "`conditional = 'false'`",
        ],
    );
    let own = "url = 'http://h/', interval = '1s', conditional = 'false', headers.if-modified-since = 'x'";
    testing::source(&HTTP, &[("id", DataType::Int64)], own)
        .map(|_| ())
        .unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn bodies() {
    check(
        "body = '{}'",
        &["a GET request carries no body", "method = 'POST'"],
    );
    check("json.a = 1", &["a GET request carries no body"]);
    check(
        "method = 'POST', json.a = 1, body = '{}'",
        &["two bodies of one request", "first given here"],
    );
    check(
        "method = 'POST', json.a = 1, json.a.b = 2",
        &["`json.a.b` lies inside a value that is no object"],
    );
    check(
        "method = 'FETCH'",
        &["one of GET, POST, PUT, PATCH and DELETE"],
    );
    let text = "url = 'http://h', method = 'POST', headers.Content-Type = 'text/plain', body = '$symbol $n'";
    check_lookup(text, &["not for this content type"]);
}

#[test]
fn headers() {
    check(
        "headers.Content-Length = '3'",
        &["`Content-Length` is set by the client itself"],
    );
    check(
        "headers.Accept = 'a', headers.accept = 'b'",
        &["`accept` is given twice"],
    );
    check(
        "headers.Authorization = 'x', auth.type = 'bearer', auth.token = 'y'",
        &["`auth.type` and by `headers.*`"],
    );
    check(
        "header.Accept = 'a'",
        &[
            "unknown option `header.Accept`",
            "did you mean `headers.Accept`?",
        ],
    );
}

#[test]
fn auth() {
    check("auth.type = 'bsic'", &["did you mean `basic`?"]);
    check(
        "auth.token = 'x'",
        &[
            "`auth.token` needs an `auth.type`",
            "add `auth.type = 'bearer'`",
        ],
    );
    check(
        "auth.type = 'basic', auth.username = 'a', auth.password = 'b', auth.token = 'x'",
        &["`auth.token` does not belong to `auth.type = 'basic'`"],
    );
    check("auth.type = 'bearer'", &["option `auth.token` is missing"]);
    check(
        "auth.type = 'api-key', auth.key = 'k'",
        &["does not say where the key goes"],
    );
    check(
        "auth.type = 'oauth2', auth.client_id = 'a', auth.client_secret = 'b', auth.token_url = 'x'",
        &["not a URL"],
    );
    let hmac = "auth.type = 'hmac-sha256', auth.secret = 's', auth.header = 'H'";
    check(
        &format!("{hmac}, auth.key = 'k'"),
        &["`auth.key` needs `auth.key_header`"],
    );
    check(
        &format!("{hmac}, auth.string_to_sign = '{{method}}{{pth}}'"),
        &["no part of a request", "{path_query}"],
    );
    check(
        &format!("{hmac}, auth.signature_param = 's'"),
        &["not both"],
    );
    check(
        "auth.tokn = 'x'",
        &["unknown option `auth.tokn`", "did you mean `auth.token`?"],
    );
}

#[test]
fn pages() {
    check(
        "pagination.start = 1",
        &["`pagination.start` needs a `pagination.type`"],
    );
    check(
        "pagination.type = 'link-header', pagination.cursor_id = 'x'",
        &[
            "does not belong to `pagination.type = 'link-header'`",
            "it is an option of `cursor-based`",
        ],
    );
    check(
        "pagination.type = 'page-based', pagination.resume = 'true'",
        &["`pagination.resume` does not belong"],
    );
    check(
        "pagination.type = 'header-based'",
        &["option `pagination.next_header` is missing"],
    );
    check(
        "pagination.type = 'body_link-based'",
        &["option `pagination.body_link_path` is missing"],
    );
    check(
        "pagination.type = 'page-based', pagination.step = 0",
        &["other than 0"],
    );
    check(
        "pagination.type = 'page-based', pagination.size = 5",
        &["needs `pagination.size_param`"],
    );
    for doubled in [
        "url = 'http://h/?limit=50'",
        "url = 'http://h/', params.limit = 50",
    ] {
        let sized =
            "interval = '1s', pagination.type = 'page-based', pagination.size_param = 'limit'";
        let all = format!("{doubled}, {sized}, pagination.size = 100");
        assert_fault(
            testing::source(&HTTP, &[("id", DataType::Int64)], &all),
            &[
                "`limit` is in every request already",
                "^",
                "leave it out of `url`",
            ],
        );
    }
    check_lookup(
        "url = 'http://h/$symbol/$n', pagination.type = 'page-based'",
        &["unknown option `pagination.type`"],
    );
}

#[test]
fn limits() {
    check("timeout = '0s'", &["a duration above zero"]);
    check("max_body_bytes = '0'", &["a size above zero"]);
    check_lookup(
        "url = 'http://h/$symbol/$n', max_body_bytes = '0kB', lookup.cache = 'lru', lookup.cache.ttl = '0s'",
        &["a size above zero", "a duration above zero"],
    );
    check("rate_limit = 'often'", &["'30/3s'"]);
    check("retry.max_attempts = 0", &["from 1 to 1000"]);
    check("retry.codes = 'all'", &["a list of statuses"]);
    check("tls.ca = '/nowhere.pem'", &["`tls.ca` cannot be used"]);
    check(
        "conditional = 'true', method = 'POST'",
        &["only a GET request can be conditional"],
    );
    check("on_error = 'ignore'", &["`on_error` cannot be `ignore`"]);
    check("timestamp_unit = 'h'", &["`timestamp_unit` cannot be `h`"]);
}

#[test]
fn options_without_effect() {
    check(
        "connect_timeout = '31s'",
        &[
            "`connect_timeout` (31s) is above `timeout` (30s)",
            "raise `timeout`, or lower `connect_timeout`",
        ],
    );
    check(
        "retry.initial_backoff = '2s', retry.max_backoff = '1s'",
        &[
            "`retry.initial_backoff` (2s) is above `retry.max_backoff` (1s)",
            "ends before",
        ],
    );
    // What is not given is cut without a word.
    let with = "url = 'http://h/', interval = '1s', timeout = '5s', retry.max_backoff = '100ms'";
    testing::source(&HTTP, &[("id", DataType::Int64)], with)
        .map(|_| ())
        .unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn all_faults_are_reported_at_once() {
    check(
        "timeout = 'x', auth.type = 'bearer', pagination.type = 'y', colour = 'red'",
        &[
            "`timeout` is not",
            "`auth.token` is missing",
            "`pagination.type` cannot be `y`",
            "unknown option `colour`",
        ],
    );
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let with = "url = 'http://h/p?api_key=s3cr3t', method = 'POST', params.k = SECRET token, headers.K = SECRET token, \
                json.k = SECRET token, auth.type = 'bearer', auth.token = SECRET token";
    let client = testing::take(with, |options| Client::take(options, &[], Role::Read, 1)).unwrap();
    let shown = format!("{client:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
