//! No secret of a pipeline is in its record.

use serde_json::json;

use crate::stage::Stage;
use crate::support::http::{Reply, Request, Server};

/// Secrets with characters that every encoding writes differently.
const SECRETS: &[(&str, &str)] = &[
    ("HEADER", "head/er+Secret=1"),
    ("PARAM", "par&am Secret/2"),
    ("BODY", "body\"Secret\\3"),
    ("BASIC", "basic:Secret@4"),
    ("BEARER", "bearer.Secret~5"),
    ("API", "api-key Secret*6"),
    ("CLIENT", "client/Secret#7"),
    ("HMAC", "hmac|Secret?8"),
    ("PLAIN", "plainSecret9"),
    ("PATH", "path-Secret-10"),
];

/// What the token endpoint gives.
const TOKEN: &str = "t0ken-of-the-day";

const SQL: &str = "
    CREATE SECRET header WITH (backend = 'env') AS 'HEADER';
    CREATE SECRET param WITH (backend = 'env') AS 'PARAM';
    CREATE SECRET body WITH (backend = 'env') AS 'BODY';
    CREATE SECRET basic WITH (backend = 'env') AS 'BASIC';
    CREATE SECRET bearer WITH (backend = 'env') AS 'BEARER';
    CREATE SECRET api WITH (backend = 'env') AS 'API';
    CREATE SECRET client WITH (backend = 'env') AS 'CLIENT';
    CREATE SECRET hmac WITH (backend = 'env') AS 'HMAC';
    CREATE SECRET path WITH (backend = 'env') AS 'PATH';
    CREATE TABLE a (said STRING) WITH (connector = 'http', url = '${URL}/a', interval = '1m',
        headers.X-Custom = SECRET header, params.who = SECRET param);
    CREATE TABLE b (said STRING) WITH (connector = 'http', url = '${URL}/b', interval = '1m',
        method = 'POST', json.password = SECRET body);
    CREATE TABLE c (said STRING) WITH (connector = 'http', url = '${URL}/c', interval = '1m',
        auth.type = 'basic', auth.username = 'me', auth.password = SECRET basic);
    CREATE TABLE d (said STRING) WITH (connector = 'http', url = '${URL}/d', interval = '1m',
        auth.type = 'bearer', auth.token = SECRET bearer);
    CREATE TABLE e (said STRING) WITH (connector = 'http', url = '${URL}/e', interval = '1m',
        auth.type = 'api-key', auth.key = SECRET api, auth.param = 'apikey');
    CREATE TABLE f (said STRING) WITH (connector = 'http', url = '${URL}/f', interval = '1m',
        auth.type = 'oauth2', auth.token_url = '${URL}/token', auth.client_id = 'me',
        auth.client_secret = SECRET client, auth.client_auth = 'body');
    CREATE TABLE g (said STRING) WITH (connector = 'http', url = '${URL}/g', interval = '1m',
        auth.type = 'hmac-sha256', auth.secret = SECRET hmac, auth.timestamp_param = 'timestamp',
        auth.signature_param = 'signature');
    CREATE TABLE h (said STRING) WITH (connector = 'http', url = '${URL}/h', interval = '1m',
        auth.type = 'hmac-sha256', auth.secret = SECRET hmac, auth.header = 'X-Signed',
        auth.timestamp_header = 'X-Time');
    CREATE TABLE i (said STRING) WITH (connector = 'http', url = '${URL}/i', interval = '1m',
        auth.type = 'bearer', auth.token = '${PLAIN}');
    CREATE TABLE j (said STRING) WITH (connector = 'http', url = SECRET path, interval = '1m');
    CREATE SINK out FROM a WITH (connector = 'stdout');";

/// Repeats everything that was sent, in every encoding.
fn echo(request: &Request) -> Reply {
    let said = format!(
        "{} {:?} {:?} {}",
        request.raw_query,
        request.query,
        request.headers,
        String::from_utf8_lossy(&request.body)
    );
    let header = request.raw_query.clone();
    Reply::value(&json!({"said": said})).header("X-Echo", header)
}

#[test]
fn no_secret_is_found_anywhere_in_a_record() {
    let server = Server::start();
    for path in [
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "path-Secret-10",
    ] {
        server.on("*", &format!("/{path}"), echo);
    }
    server.on("POST", "/token", |_| {
        Reply::value(&json!({"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}))
    });
    let mut stage = Stage::new(SQL).env("URL", server.url());
    for (name, value) in SECRETS {
        let value = match *name {
            "PATH" => format!("{}/{value}", server.url()),
            _ => (*value).to_owned(),
        };
        stage = stage.env(name, value);
    }
    let live = stage.recording(["--once"]).run().expect_code(0);
    drop(server);
    let record = stage.record();
    assert_eq!(
        stage.lines("http").len(),
        11,
        "ten polls and a token\n{record}"
    );
    for (name, secret) in SECRETS.iter().chain([&("TOKEN", TOKEN)]) {
        for form in forms(secret) {
            assert!(!record.contains(&form), "{name} as `{form}` in\n{record}");
        }
    }
    // What the server made of the signatures is gone with their parameter and header.
    let signature = |text: &str| {
        let at = text.find("signature=").map(|at| at + "signature=".len());
        at.map(|at| text[at..].chars().take(64).collect::<String>())
    };
    for line in stage.lines("http") {
        let hex =
            signature(&line.to_string()).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(hex, None, "{line}");
        let sent = line["request"].to_string();
        assert!(
            !sent.contains("signature=") || sent.contains("signature=***"),
            "{sent}"
        );
        assert!(
            !sent.contains("x-signed\",\"") || sent.contains("x-signed\",\"***"),
            "{sent}"
        );
    }
    assert!(live.stdout.contains("said"), "{live}");
    let left = stage.replay_twice();
    for table in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        assert_eq!(left.rows(&format!("data.{table}")).len(), 1, "{table}");
    }
    // The record is also played by somebody who has other secrets.
    let mut other = stage;
    for (name, _) in SECRETS.iter().filter(|(name, _)| *name != "PATH") {
        other = other.env(name, format!("another {name}"));
    }
    let output = other.replay().expect_code(0);
    assert_eq!(output.stdout, left.stdout);
}

/// Returns the forms in which a secret could stand in a line.
fn forms(secret: &str) -> Vec<String> {
    let mut percent = String::new();
    for byte in secret.bytes() {
        match char::from(byte) {
            plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => percent.push(plain),
            _ => percent.push_str(&format!("%{byte:02X}")),
        }
    }
    let json = json!(secret).to_string();
    let json = json.trim_matches('"').to_owned();
    let twice = json!(json).to_string();
    vec![
        secret.to_owned(),
        percent.replace("%20", "+"),
        percent.to_lowercase(),
        percent,
        twice.trim_matches('"').to_owned(),
        json,
    ]
}
