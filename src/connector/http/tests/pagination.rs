//! Pages: each kind and its end, resumption, conditional requests.

use std::sync::atomic::{AtomicI64, Ordering};

use super::server::{Reply, Server, ok, reply};
use super::{Run, param, rows, source, tick};

/// A server with the ids 1 to 5, two per page, `page` counted from 1.
fn numbered() -> Server {
    Server::start(|_, seen| {
        let page: i64 = param(&seen.target, "page").unwrap().parse().unwrap();
        ok(rows((1..=5).filter(|id| (id + 1) / 2 == page)))
    })
}

const NUMBERED: &str = "pagination.type = 'page-based', pagination.start = 1";

#[test]
fn pages_restart_on_every_poll_and_keep_the_params() {
    let server = numbered();
    let with = format!(
        "{NUMBERED}, pagination.size_param = 'limit', pagination.size = 2, params.q = 'a b'"
    );
    let source = source(&server.url, &with);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.ids(), [vec![1, 2], vec![3, 4], vec![5], vec![]]);
    let second = "/?q=a%20b&limit=2&page=2";
    assert_eq!(server.targets()[1], second);
    run.read(1).unwrap();
    assert_eq!(run.delivered.len(), 8);
    assert_eq!(server.targets()[5], second);
    assert!(run.warnings().is_empty());
}

#[test]
fn a_server_that_ignores_the_page_ends_the_poll_without_doubling() {
    let server = Server::start(|_, _| ok(rows([1, 2])));
    let source = source(&server.url, "pagination.type = 'page-based'");
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [1, 2]);
    assert_eq!(run.warnings().len(), 1);
    assert!(run.warnings()[0].contains("a page repeats"));
}

#[test]
fn the_bound_on_pages_is_told() {
    let server = Server::start(|number, _| ok(rows([number as i64])));
    let source = source(
        &server.url,
        "pagination.type = 'page-based', pagination.max_pages = 3",
    );
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [0, 1, 2]);
    assert!(run.warnings()[0].contains("pagination.max_pages"));
}

#[test]
fn a_crash_at_any_page_neither_skips_nor_doubles() {
    for dies_at in 0..4 {
        let server = numbered();
        let source = source(&server.url, NUMBERED);
        let mut run = Run::open(&*source, None);
        run.dies_at = Some(dies_at);
        assert!(run.read(0).is_err());
        // A new process: only what was committed is known.
        let mut again = Run::open(&*source, run.cursor().as_deref());
        again.read(60).unwrap();
        let first: Vec<i64> = (run.delivered.iter().chain(&again.delivered))
            .filter(|delivery| delivery.trigger == tick(0))
            .flat_map(super::ids)
            .collect();
        let second: Vec<i64> = (again.delivered.iter())
            .filter(|delivery| delivery.trigger == tick(60))
            .flat_map(super::ids)
            .collect();
        // A poll of which nothing was committed has not happened.
        assert_eq!(
            first,
            if dies_at == 0 {
                vec![]
            } else {
                vec![1, 2, 3, 4, 5]
            }
        );
        assert_eq!(second, [1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_page_that_the_filter_empties_does_not_end_the_poll() {
    for jq in [
        ".[] | select(.id > 30)",
        "map(select(.id > 30))",
        "(. // []) | map(select(.id > 30) | {id})",
    ] {
        let server = Server::start(|_, seen| {
            let offset: i64 = param(&seen.target, "offset").unwrap().parse().unwrap();
            ok(rows((offset + 1..=47).take(10)))
        });
        let with = format!(
            "pagination.type = 'page-based', pagination.page_param = 'offset', pagination.step = 10, jq = '{jq}'"
        );
        let source = source(&server.url, &with);
        let mut run = Run::open(&*source, None);
        run.read(0).unwrap();
        assert_eq!(run.all_ids(), Vec::from_iter(31..=47), "{jq}");
        assert_eq!(server.targets().len(), 6, "{jq}");
        assert!(run.warnings().is_empty(), "{jq}");
    }
}

#[test]
fn a_server_that_ignores_the_page_ends_a_poll_without_rows_too() {
    let server = Server::start(|_, _| ok(rows([1, 2])));
    let with = "pagination.type = 'page-based', jq = '.[] | select(.id > 30)'";
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(server.targets(), ["/?page=0", "/?page=1"]);
    assert!(run.all_ids().is_empty() && run.warnings().is_empty());
}

#[test]
fn an_error_in_the_middle_is_made_up_for_by_the_next_read() {
    let server = Server::start(|number, seen| {
        let page: i64 = param(&seen.target, "page").unwrap().parse().unwrap();
        match (number, page) {
            (1, _) => reply(500, &[], ""),
            (_, 3) => ok("[]"),
            _ => ok(rows([page])),
        }
    });
    let source = source(&server.url, &format!("{NUMBERED}, retry.max_attempts = 1"));
    let mut run = Run::open(&*source, None);
    assert!(run.read(0).is_err());
    run.read(60).unwrap();
    let told: Vec<_> = run
        .delivered
        .iter()
        .map(|d| (d.trigger, super::ids(d)))
        .collect();
    let expected = [
        (0, vec![1]),
        (0, vec![2]),
        (0, vec![]),
        (60, vec![1]),
        (60, vec![2]),
        (60, vec![]),
    ];
    assert_eq!(told, expected.map(|(second, ids)| (tick(second), ids)));
}

#[test]
fn an_interrupted_poll_whose_page_is_gone_is_given_up() {
    let server = Server::start(|number, seen| match (number, seen.target.as_str()) {
        (1, _) => reply(410, &[], "expired"),
        (_, "/?cursor=b") => ok("[]"),
        _ => reply(200, &[("x-next", "b")], rows([1])),
    });
    let with = "pagination.type = 'header-based', pagination.next_header = 'X-Next'";
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    assert!(run.read(0).is_err());
    run.read(1).unwrap();
    assert_eq!(run.ids(), [vec![1], vec![1], vec![]]);
    assert_eq!(server.targets(), ["/", "/?cursor=b", "/", "/?cursor=b"]);
}

#[test]
fn an_interrupted_poll_whose_page_fails_twice_is_given_up() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/?cursor=b" => reply(500, &[], ""),
        _ => reply(200, &[("x-next", "b")], rows([1])),
    });
    let with = "pagination.type = 'header-based', pagination.next_header = 'X-Next', retry.max_attempts = 1";
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    for second in 0..3 {
        assert!(run.read(second).is_err());
    }
    assert_eq!(run.ids(), [vec![1], vec![1]]);
    let asked = ["/", "/?cursor=b", "/?cursor=b", "/", "/?cursor=b"];
    assert_eq!(server.targets(), asked);
}

#[test]
fn an_interrupted_poll_whose_page_cannot_be_taken_is_given_up() {
    // A body that is too large, one that is no JSON, and a link to elsewhere.
    let large = format!("[{}]", " ".repeat(2000));
    let elsewhere = "http://elsewhere.invalid/p";
    for (link, second) in [("/p", large.as_str()), ("/p", "<html>"), (elsewhere, "[]")] {
        let (link, second) = (format!("<{link}>; rel=next"), second.to_owned());
        let server = Server::start(move |_, seen| match seen.target.as_str() {
            "/p" => ok(second.clone()),
            _ => reply(200, &[("link", &link)], rows([1])),
        });
        let with = "pagination.type = 'link-header', max_body_bytes = '1000', jq = '.[]', \
            retry.max_attempts = 1, auth.type = 'bearer', auth.token = SECRET token";
        let source = source(&server.url, with);
        let mut run = Run::open(&*source, None);
        assert!(run.read(0).is_err());
        assert!(run.read(1).is_err());
        assert_eq!(run.ids(), [vec![1], vec![1]], "a poll from its first page");
    }
}

/// A server that answers the ids from `after` (exclusive or inclusive) up to `last`, two per page.
fn after(answer: impl Fn(i64) -> i64 + Send + Sync + 'static, last: &'static AtomicI64) -> Server {
    Server::start(move |_, seen| {
        let first =
            param(&seen.target, "after").map_or(1, |cursor| answer(cursor.parse().unwrap()));
        ok(rows((first..=last.load(Ordering::SeqCst)).take(2)))
    })
}

const AFTER: &str = "pagination.type = 'cursor-based', pagination.cursor_param = 'after'";

#[test]
fn a_cursor_goes_on_over_polls_and_restarts() {
    static LAST: AtomicI64 = AtomicI64::new(3);
    let server = after(|cursor| cursor + 1, &LAST);
    let source = source(&server.url, AFTER);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [1, 2, 3]);
    LAST.store(4, Ordering::SeqCst);
    let mut again = Run::open(&*source, run.cursor().as_deref());
    again.read(1).unwrap();
    again.read(2).unwrap();
    assert_eq!(again.all_ids(), [4]);
}

#[test]
fn an_inclusive_cursor_ends() {
    static LAST: AtomicI64 = AtomicI64::new(3);
    let server = after(|cursor| cursor, &LAST);
    let source = source(&server.url, AFTER);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    run.read(1).unwrap();
    assert_eq!(run.ids(), [vec![1, 2], vec![2, 3], vec![], vec![]]);
}

#[test]
fn a_cursor_that_the_filter_takes_away_is_told_once() {
    let server = Server::start(|number, _| match number {
        0 => ok(rows(1..=10)),
        3 => ok("[]"),
        _ => ok(rows(6..=15)),
    });
    let with = format!("{AFTER}, jq = '.[] | select(.id <= 5 or .id > 30)'");
    let source = source(&server.url, &with);
    let mut run = Run::open(&*source, None);
    // The warnings after each poll; the third one meets an empty page.
    for (second, warnings) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        run.read(second).unwrap();
        assert_eq!(run.warnings().len(), warnings, "{second}");
    }
    assert_eq!(run.all_ids(), [1, 2, 3, 4, 5]);
    assert_eq!(server.targets()[1..], ["/?after=5"; 4]);
    assert!(run.warnings()[0].contains("in a query with WHERE"));
}

#[test]
fn a_cursor_that_must_not_resume_starts_anew() {
    static LAST: AtomicI64 = AtomicI64::new(3);
    let server = after(|cursor| cursor + 1, &LAST);
    let source = source(
        &server.url,
        &format!("{AFTER}, pagination.resume = 'false'"),
    );
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    run.read(1).unwrap();
    assert_eq!(run.all_ids(), [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_page_that_ends_with_the_cursor_it_was_asked_for_is_told() {
    let read = |later: &'static [i64]| {
        let server = Server::start(move |number, _| match number {
            0 => ok(rows([1, 2])),
            _ => ok(rows(later.iter().copied())),
        });
        let source = source(&server.url, AFTER);
        let mut run = Run::open(&*source, None);
        run.read(0).unwrap();
        (run.all_ids(), run.warnings())
    };
    let (ids, warnings) = read(&[7, 2]);
    assert_eq!(ids, [1, 2]);
    assert!(
        warnings[0].contains("ends with the cursor it was asked for"),
        "{warnings:?}"
    );
    // Some servers repeat the row of the cursor.
    assert_eq!(read(&[2]), (vec![1, 2], Vec::new()));
}

#[test]
fn a_header_holds_the_next_cursor() {
    let server = Server::start(|_, seen| match param(&seen.target, "cursor").as_deref() {
        None => reply(200, &[("x-next", "b&c")], rows([1])),
        Some("b&c") => reply(200, &[("x-next", "")], rows([2])),
        Some(other) => panic!("{other}"),
    });
    let with = "pagination.type = 'header-based', pagination.next_header = 'X-Next'";
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    run.read(1).unwrap();
    assert_eq!(run.all_ids(), [1, 2, 1, 2]);
}

/// Reads pages linked from the body by a member `next`.
#[track_caller]
fn check_links(links: &'static [&'static str], with: &str, targets: &[&str]) {
    let server = Server::start(move |number, _| {
        let next = links
            .get(number)
            .map_or("null".to_owned(), |next| format!("\"{next}\""));
        ok(format!(
            "{{\"items\":{},\"next\":{next}}}",
            rows([number as i64])
        ))
    });
    let with = format!(
        "jq = '.items[]', pagination.type = 'body_link-based', pagination.body_link_path = '.next', {with}"
    );
    let source = source(&format!("{}/v1/list?x=1", server.url), &with);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(server.targets(), targets);
    assert_eq!(run.all_ids(), Vec::from_iter(0..targets.len() as i64));
}

#[test]
fn a_body_holds_the_next_link_or_token() {
    check_links(
        &["?page=2", "/v2/list?page=3"],
        "",
        &["/v1/list?x=1", "/v1/list?page=2", "/v2/list?page=3"],
    );
    check_links(
        &["?p=2"],
        "params.q = '1'",
        &["/v1/list?x=1&q=1", "/v1/list?p=2&q=1"],
    );
    let token = "pagination.cursor_param = 'token'";
    check_links(
        &["a=", "b"],
        token,
        &[
            "/v1/list?x=1",
            "/v1/list?x=1&token=a%3D",
            "/v1/list?x=1&token=b",
        ],
    );
    check_links(
        &["a", "a"],
        token,
        &["/v1/list?x=1", "/v1/list?x=1&token=a"],
    );
}

#[test]
fn a_link_to_itself_is_told() {
    let server = Server::start(|_, _| reply(200, &[("link", "</>; rel=next")], rows([1])));
    let source = source(&server.url, "pagination.type = 'link-header'");
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(run.all_ids(), [1]);
    assert!(run.warnings()[0].contains("the page it came from"));
}

#[test]
fn link_headers_are_followed_without_credentials_in_the_state() {
    let server = Server::start(|number, _| match number {
        0 => reply(
            200,
            &[(
                "link",
                "</p?page=2&key=s3cr3t>; rel=\"next\", </p?page=9>; rel=\"last\"",
            )],
            rows([1]),
        ),
        _ => ok(rows([2])),
    });
    let url = format!("{}/p", server.url);
    let source = source(
        &url,
        "pagination.type = 'link-header', params.key = SECRET token",
    );
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    assert_eq!(server.targets(), ["/p?key=s3cr3t", "/p?page=2&key=s3cr3t"]);
    for delivery in &run.delivered {
        let cursor = delivery.cursor.as_deref().unwrap();
        assert!(!cursor.contains("s3cr3t"), "{cursor}");
    }
}

#[test]
fn credentials_do_not_follow_a_link_to_another_host() {
    let elsewhere = Server::start(|_, _| ok(rows([2])));
    let link = format!("<{}/p>; rel=next", elsewhere.url);
    let server = Server::start(move |_, _| reply(200, &[("link", &link)], rows([1])));
    let with = "pagination.type = 'link-header', auth.type = 'bearer', auth.token = SECRET token";
    let source = source(&server.url, with);
    let mut run = Run::open(&*source, None);
    let error = run.read(0).unwrap_err().to_string();
    assert!(error.contains("leaves the origin"), "{error}");
    assert!(elsewhere.seen().is_empty());
}

fn tagged(seen: &super::server::Seen) -> Reply {
    match seen.header("if-none-match") {
        Some("\"v1\"") => reply(304, &[], ""),
        _ => reply(
            200,
            &[
                ("etag", "\"v1\""),
                ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
            rows([1]),
        ),
    }
}

#[test]
fn a_304_is_a_poll_without_rows_also_after_a_restart() {
    let server = Server::start(|_, seen| tagged(seen));
    let source = source(&server.url, "");
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    run.read(1).unwrap();
    assert_eq!(run.all_ids(), [1]);
    let mut again = Run::open(&*source, run.cursor().as_deref());
    again.read(2).unwrap();
    assert!(again.delivered.is_empty());
    assert_eq!(
        server.seen()[2].header("if-modified-since"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
}

#[test]
fn conditional_requests_can_be_left_out_and_do_not_hide_later_pages() {
    let server = Server::start(|_, seen| match param(&seen.target, "page").as_deref() {
        Some("0") | None => tagged(seen),
        _ => ok("[]"),
    });
    for with in ["conditional = 'false'", "pagination.type = 'page-based'"] {
        let source = source(&server.url, with);
        let mut run = Run::open(&*source, None);
        run.read(0).unwrap();
        run.read(1).unwrap();
        assert_eq!(run.all_ids(), [1, 1], "{with}");
    }
}

#[test]
fn a_position_of_another_pagination_is_refused() {
    let server = numbered();
    let paged = source(&server.url, NUMBERED);
    let mut run = Run::open(&*paged, None);
    run.dies_at = Some(1);
    assert!(run.read(0).is_err());
    let linked = source(&server.url, "pagination.type = 'link-header'");
    let Err(error) = linked.open(run.cursor().as_deref(), &run.context) else {
        panic!("it was taken");
    };
    assert!(
        error.to_string().contains("another `pagination.type`"),
        "{error}"
    );
}
