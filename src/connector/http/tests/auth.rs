//! Each kind of authentication, on the wire and against known vectors.

use chrono::DateTime;
use ureq::http::Method;
use url::Url;

use super::server::{Server, ok, reply};
use super::{Run, rows, source};
use crate::connector::http::hmac::Hmac;
use crate::connector::http::request::Request;
use crate::connector::http::shown::Mask;
use crate::connector::testing;

/// Polls once and returns what the server saw.
fn seen(with: &str) -> super::server::Seen {
    let server = Server::start(|_, _| ok(rows([1])));
    let source = source(&format!("{}/x?a=1", server.url), with);
    Run::open(&*source, None).read(0).unwrap();
    server.seen().remove(0)
}

#[test]
fn basic_bearer_and_api_keys() {
    let basic =
        seen("auth.type = 'basic', auth.username = 'Aladdin', auth.password = 'open sesame'");
    // The example of RFC 7617, section 2.
    assert_eq!(
        basic.header("authorization"),
        Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    );
    let bearer = seen("auth.type = 'bearer', auth.token = SECRET token");
    assert_eq!(bearer.header("authorization"), Some("Bearer s3cr3t"));
    let header = seen("auth.type = 'api-key', auth.header = 'X-Key', auth.key = SECRET token");
    assert_eq!(header.header("x-key"), Some("s3cr3t"));
    let param = seen("auth.type = 'api-key', auth.param = 'key', auth.key = 'a&b'");
    assert_eq!(param.target, "/x?a=1&key=a%26b");
}

/// Signs a request as of a known instant.
fn signed(with: &str, url: &str, millis: i64) -> Request {
    let with = format!("auth.type = 'hmac-sha256', {with}");
    let hmac = testing::take(&with, |options| {
        options.text("auth.type");
        Hmac::take(options, &mut Mask::default())
    });
    let mut request = Request {
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: Vec::new(),
        body: None,
    };
    let now = DateTime::from_timestamp_millis(millis).unwrap();
    let hmac = hmac.unwrap_or_else(|faults| panic!("{faults}"));
    // Twice, as on a retry: nothing may pile up.
    hmac.sign(&mut request, now).unwrap();
    hmac.sign(&mut request, now).unwrap();
    request
}

#[test]
fn a_binance_request_has_the_signature_of_its_documentation() {
    let query =
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000";
    let request = signed(
        "auth.secret = 'NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j', auth.key = 'abc', \
         auth.key_header = 'X-MBX-APIKEY', auth.timestamp_param = 'timestamp', auth.signature_param = 'signature'",
        &format!("https://api.binance.com/api/v3/order?{query}"),
        1_499_827_319_559,
    );
    let signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
    let expected = format!("{query}&timestamp=1499827319559&signature={signature}");
    assert_eq!(request.url.query(), Some(expected.as_str()));
    assert_eq!(request.headers[0].0, "x-mbx-apikey");
}

#[test]
fn a_kucoin_request_is_signed_with_its_passphrase() {
    let request = signed(
        "auth.secret = 'abcd-secret', auth.key = 'k', auth.key_header = 'KC-API-KEY', \
         auth.header = 'KC-API-SIGN', auth.timestamp_header = 'KC-API-TIMESTAMP', \
         auth.passphrase = 'mypass', auth.passphrase_header = 'KC-API-PASSPHRASE'",
        "https://api.kucoin.com/api/v1/accounts?currency=BTC",
        1_700_000_000_123,
    );
    let header = |name: &str| {
        let found: Vec<_> = request
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].1.to_str().unwrap()
    };
    assert_eq!(header("kc-api-timestamp"), "1700000000123");
    assert_eq!(
        header("kc-api-sign"),
        "JWPSparO5b4gBsFMOfWDdU6P3O7eLrJI8q85PjaL1lE="
    );
    assert_eq!(
        header("kc-api-passphrase"),
        "S1VbToF5T7FeAUOnzYNY6jOlgxTltsIetjCpY3B9fj4="
    );
}

#[test]
fn a_token_is_kept_and_renewed_once_it_is_refused() {
    let server = Server::start(|number, seen| match seen.target.as_str() {
        "/token" => ok(format!(
            "{{\"access_token\":\"t{number}\",\"expires_in\":3600}}"
        )),
        // The first token ages while it is in use.
        _ if number == 3 => reply(401, &[], "token t0 expired"),
        _ => ok(rows([1])),
    });
    let with = format!(
        "auth.type = 'oauth2', auth.token_url = '{}/token', auth.client_id = 'me', \
         auth.client_secret = SECRET token, auth.scope = 'a b'",
        server.url
    );
    let source = source(&format!("{}/data", server.url), &with);
    let mut run = Run::open(&*source, None);
    for second in 0..4 {
        run.read(second).unwrap();
    }
    let seen = server.seen();
    let targets: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(
        targets,
        [
            "/token", "/data", "/data", "/data", "/token", "/data", "/data"
        ]
    );
    assert_eq!(seen[0].body, "grant_type=client_credentials&scope=a%20b");
    assert_eq!(seen[0].header("authorization"), Some("Basic bWU6czNjcjN0"));
    assert_eq!(seen[5].header("authorization"), Some("Bearer t4"));
}

#[test]
fn a_token_close_to_its_end_is_renewed_before_use() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/token" => ok("{\"access_token\":\"t\",\"expires_in\":\"20\"}"),
        _ => ok(rows([1])),
    });
    let with = format!(
        "auth.type = 'oauth2', auth.token_url = '{}/token', auth.client_id = 'me', \
         auth.client_secret = SECRET token, auth.client_auth = 'body', auth.audience = 'x'",
        server.url
    );
    let source = source(&format!("{}/data", server.url), &with);
    let mut run = Run::open(&*source, None);
    run.read(0).unwrap();
    run.read(1).unwrap();
    assert_eq!(server.targets(), ["/token", "/data", "/token", "/data"]);
    let body = "grant_type=client_credentials&audience=x&client_id=me&client_secret=s3cr3t";
    assert_eq!(server.seen()[0].body, body);
}

#[test]
fn a_refused_token_twice_is_an_error_that_does_not_show_it() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/token" => ok("{\"access_token\":\"sesame\"}"),
        _ => reply(401, &[], "sesame is wrong, so is s3cr3t"),
    });
    let with = format!(
        "auth.type = 'oauth2', auth.token_url = '{}/token', auth.client_id = 'me', auth.client_secret = SECRET token",
        server.url
    );
    let source = source(&server.url, &with);
    let error = Run::open(&*source, None).read(0).unwrap_err().to_string();
    assert!(
        error.contains("status 401 Unauthorized: *** is wrong, so is ***"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn many_threads_ask_for_one_token_and_share_one_rate() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/token" => ok("{\"access_token\":\"t\"}").stalled(std::time::Duration::from_millis(50)),
        _ => ok(rows([1])),
    });
    let lookup = super::lookup::lookup(&format!(
        "url = '{0}/$symbol/$n', auth.type = 'oauth2', auth.token_url = '{0}/token', auth.client_id = 'me', \
         auth.client_secret = SECRET token, rate_limit = '5/200ms'",
        server.url
    ));
    let lookup = lookup.unwrap_or_else(|faults| panic!("{faults}"));
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let lookup = &lookup;
            scope.spawn(move || {
                let (context, _) = testing::context();
                let params = [serde_json::json!("a"), serde_json::json!(number)];
                lookup.request(&params, super::tick(0), &context).unwrap();
            });
        }
    });
    let targets = server.targets();
    assert_eq!(
        targets.iter().filter(|target| *target == "/token").count(),
        1
    );
    assert_eq!(targets.len(), 9);
    // Nine requests at five per window take part of a second one.
    assert!(start.elapsed() >= std::time::Duration::from_millis(200));
}
