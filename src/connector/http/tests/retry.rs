//! What fails, what is tried again, what is not.

use std::time::{Duration, Instant};

use super::server::{Server, ok, reply};
use super::{Run, rows, source};
use crate::connector::Event;

/// `[{"id":1},{"id":2}]`, compressed.
const GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x8b, 0xae, 0x56, 0xca, 0x4c, 0x51,
    0xb2, 0x32, 0xac, 0xd5, 0x81, 0x30, 0x8c, 0x6a, 0x63, 0x01, 0xea, 0xd1, 0x47, 0xfa, 0x13, 0x00,
    0x00, 0x00,
];

fn is_retry(event: &Event) -> bool {
    matches!(event, Event::Retry { .. })
}

/// Polls a server that answers wrong first and right then.
#[track_caller]
fn recovers(first: impl Fn() -> super::server::Reply + Send + Sync + 'static, with: &str) -> Run {
    let server = Server::start(move |number, _| if number == 0 { first() } else { ok(rows([7])) });
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [7]);
    assert_eq!(run.count(is_retry), 1);
    assert_eq!(run.count(|event| *event == Event::Request), 2);
    run
}

#[test]
fn a_500_is_tried_again() {
    recovers(|| reply(500, &[], "oops"), "");
}

#[test]
fn retry_after_is_obeyed() {
    let start = Instant::now();
    recovers(|| reply(429, &[("retry-after", "1")], ""), "");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_slow_body_is_a_timeout() {
    let start = Instant::now();
    let run = recovers(
        || ok(rows([1])).stalled(Duration::from_secs(5)),
        "timeout = '300ms'",
    );
    assert!(start.elapsed() < Duration::from_secs(4));
    let events = run.events.lock().unwrap();
    let told = |event: &Event| matches!(event, Event::Retry { error, .. } if error.contains("no complete answer within 0.3s"));
    assert!(events.iter().any(told), "{events:?}");
}

#[test]
fn a_hang_up_in_the_body_is_tried_again() {
    recovers(|| ok(rows([1, 2, 3])).cut(5), "");
}

#[test]
fn invalid_json_is_tried_again() {
    recovers(|| ok("[{\"id\":1},"), "");
}

#[test]
fn gzip_is_read_and_a_truncated_one_is_tried_again() {
    let headers = &[("content-encoding", "gzip")];
    let server = Server::start(move |_, _| reply(200, headers, GZIP));
    let source = source(&server.url, "");
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [1, 2]);
    recovers(
        || reply(200, &[("content-encoding", "gzip")], &GZIP[..20]),
        "",
    );
}

/// Polls a server that never answers right, and returns the error and the number of requests.
fn fails(
    answer: impl Fn() -> super::server::Reply + Send + Sync + 'static,
    with: &str,
) -> (String, usize) {
    let server = Server::start(move |_, _| answer());
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    let error = run.read(0).unwrap_err().to_string();
    assert!(run.delivered.is_empty());
    (error, server.seen().len())
}

#[test]
fn attempts_are_bounded() {
    let (error, requests) = fails(|| reply(503, &[], "busy"), "retry.max_attempts = 3");
    assert_eq!(requests, 3);
    assert!(
        error.contains("status 503 Service Unavailable: busy (attempt 3 of 3)"),
        "{error}"
    );
}

#[test]
fn a_4xx_fails_at_once_with_the_beginning_of_its_body() {
    let (error, requests) = fails(|| reply(404, &[], "{\"message\": \"no such thing\"}"), "");
    assert_eq!(requests, 1);
    assert!(
        error.contains("status 404 Not Found: {\"message\": \"no such thing\"}"),
        "{error}"
    );
}

#[test]
fn what_the_server_repeats_of_a_secret_is_hidden() {
    let (error, _) = fails(
        || reply(400, &[], "bad token s3cr3t"),
        "method = 'POST', json.token = SECRET token, params.t = SECRET token",
    );
    assert!(
        error.contains("?t=***: status 400 Bad Request: bad token ***"),
        "{error}"
    );
}

#[test]
fn codes_can_be_chosen() {
    let (_, requests) = fails(
        || reply(404, &[], ""),
        "retry.codes = '404', retry.max_attempts = 2",
    );
    assert_eq!(requests, 2);
}

#[test]
fn html_is_named_for_what_it_is() {
    let html = || reply(200, &[("content-type", "text/html")], "<html>login</html>");
    let (error, _) = fails(html, "retry.max_attempts = 1");
    assert!(
        error.contains("text/html") && error.contains("<html>login"),
        "{error}"
    );
}

#[test]
fn an_encoding_that_is_not_understood_is_named() {
    for encoding in ["br", "deflate"] {
        let headers = [("content-encoding", encoding)];
        let (error, _) = fails(
            move || reply(200, &headers, "\x0b\x02"),
            "retry.max_attempts = 1",
        );
        let named = format!("`Content-Encoding: {encoding}`, which is not understood");
        assert!(error.contains(&named), "{error}");
    }
}

#[test]
fn a_larger_body_than_the_bound_fails_at_once() {
    let (error, requests) = fails(|| ok(rows(0..100)), "max_body_bytes = '50'");
    assert_eq!(requests, 1);
    assert!(
        error.contains("larger than `max_body_bytes` (50 bytes)"),
        "{error}"
    );
}

#[test]
fn a_closed_port_is_an_error_after_the_last_attempt() {
    let source = source(
        "http://127.0.0.1:1/x?api_key=hush",
        "retry.max_attempts = 2",
    );
    let mut run = Run::open(&*source, None);
    let error = run.read(0).unwrap_err().to_string();
    assert!(
        error.contains("api_key=***: the connection failed"),
        "{error}"
    );
}

#[test]
fn a_stop_ends_the_wait_before_the_next_attempt() {
    let server = Server::start(|_, _| reply(503, &[("retry-after", "60")], ""));
    let source = source(&server.url, "");
    let mut run = Run::open(&*source, None);
    let stop = run.context.stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        stop.stop();
    });
    let start = Instant::now();
    let error = run.read(0).unwrap_err();
    assert!(error.is::<crate::connector::context::Stopped>(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_rate_limit_counts_retries() {
    let server = Server::start(|number, _| {
        if number < 2 {
            reply(500, &[], "")
        } else {
            ok("[]")
        }
    });
    let source = source(&server.url, "rate_limit = '1/150ms'");
    let mut run = Run::open(&*source, None);
    let start = Instant::now();
    run.read(0).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_redirect_is_followed_at_home_only() {
    let elsewhere = Server::start(|_, _| ok(rows([2])));
    let away = format!("{}/there", elsewhere.url);
    let server = Server::start(move |_, seen| match seen.target.as_str() {
        "/home" => reply(302, &[("location", "/moved?x=1")], ""),
        "/away" => reply(307, &[("location", &away)], ""),
        "/files" => reply(302, &[("location", "ftp://h/x")], ""),
        _ => ok(rows([1])),
    });
    let read = |path: &str, with: &str| {
        let source = source(&format!("{}{path}", server.url), with);
        let mut run = Run::open(&*source, None);
        run.read(0)
            .map(|_| run.all_ids())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        read("/home", "auth.type = 'bearer', auth.token = 'abcdef'").unwrap(),
        [1]
    );
    assert_eq!(
        server.seen()[1].header("authorization"),
        Some("Bearer abcdef")
    );
    assert_eq!(read("/away", "").unwrap(), [2]);
    let error = read("/files", "").unwrap_err();
    assert!(
        error.contains("ftp://h/x, is not one of HTTP: it is not followed"),
        "{error}"
    );
    let error = read("/away", "headers.X-Api-Key = 'abcdef'").unwrap_err();
    assert!(error.contains("leaves the origin"), "{error}");
    assert_eq!(elsewhere.seen().len(), 1);
}
