//! What the listener refuses, and what it bears.

use std::net::TcpStream;
use std::process::Command;

use super::listener::PIPELINE;
use super::setting::Listening;
use crate::support::binary::Project;

const TOKEN: &str = "a-token-of-some-length";

fn project() -> Project {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    project
}

#[test]
fn foreign_hosts_and_origins_get_no_answer() {
    let project = project();
    let listening = Listening::start(&project);
    let host = |host: &str, more: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\n{host}Connection: close\r\n{more}\r\n");
        listening.raw(request.as_bytes()).status
    };
    for (line, status) in [
        ("Host: evil.example\r\n", 403),
        ("Host: evil.example:80\r\n", 403),
        ("Host: localhost.evil.example\r\n", 403),
        ("Host: 127.0.0.1.evil.example\r\n", 403),
        ("Host: 192.0.2.7\r\n", 403),
        ("Host: user@localhost\r\n", 403),
        ("Host: \r\n", 400),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST.:1234\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
        ("Host: [::1]:80\r\n", 200),
    ] {
        assert_eq!(host(line, ""), status, "{line}");
    }
    let target = format!(
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        listening.address
    );
    assert_eq!(listening.raw(target.as_bytes()).status, 403);

    let own = listening.address;
    for (origin, status) in [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost:1", 403),
        ("http://127.0.0.1", 403),
        (&format!("http://{own}"), 200),
    ] {
        let line = format!("Origin: {origin}\r\n");
        assert_eq!(
            listening.get_with("/api/entities", &line).status,
            status,
            "{origin}"
        );
        assert_eq!(
            listening.post_sql("SELECT 1", &line).status,
            status,
            "{origin}"
        );
    }
}

#[test]
fn what_is_too_large_or_makes_no_sense_is_refused() {
    let project = project();
    let listening = Listening::start(&project);
    let own = listening.address;
    listening.get("/nothing").expect_status(404);
    listening.get("/api/sql").expect_status(405);
    let post = format!(
        "POST /metrics HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    listening.raw(post.as_bytes()).expect_status(405);
    let form = format!(
        "POST /api/sql HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: 17\r\n\r\n{{\"sql\": \"SELECT\"}}"
    );
    listening.raw(form.as_bytes()).expect_status(415);
    let junk = format!(
        "POST /api/sql HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: 4\r\n\r\njunk"
    );
    listening.raw(junk.as_bytes()).expect_status(400);

    let long = "x".repeat(32 * 1024);
    let answer = listening.get_with("/health", &format!("X-Long: {long}\r\n"));
    assert_eq!(answer.status, 431, "{answer:?}");
    let many: String = (0..200)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    assert_eq!(listening.get_with("/health", &many).status, 431);
    let answer = listening.get(&format!("/{long}"));
    assert!([414, 431].contains(&answer.status), "{answer:?}");
    let sql = format!("SELECT '{}'", "x".repeat(2 << 20));
    let answer = listening.post_sql(&sql, "");
    assert_eq!(answer.status, 413, "{answer:?}");
    // A body that does not say how long it is is counted as it comes.
    let part = "x".repeat(64 * 1024);
    let chunks = format!("10000\r\n{part}\r\n").repeat(20);
    let chunked = format!(
        "POST /api/sql HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(listening.raw(chunked.as_bytes()).status, 413);
    listening.get("/health").expect_status(200);
}

#[test]
fn without_a_token_sql_only_reads() {
    let project = project();
    let listening = Listening::start(&project);
    for sql in [
        "DROP SINK out",
        "CREATE VIEW v AS SELECT 1 AS one",
        "CREATE SECRET s WITH (backend = 'meta') AS 'some value'",
    ] {
        let answer = listening.post_sql(sql, "").json();
        let error = answer["error"].as_str().expect("it is refused");
        assert!(error.contains("only answers questions"), "{error}");
    }
    assert_eq!(
        listening.get("/api/graph").json()["entities"]
            .as_array()
            .map(Vec::len),
        Some(6)
    );
    let page = listening.get("/").expect_status(200);
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'"),
        "{page:?}"
    );
    assert!(page.head.contains("x-frame-options: deny"));
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let project = project();
    let args = ["run", "p.sql", "--listen", "0.0.0.0:0"];
    let output = project.omlsp(args).run().expect_code(2);
    assert!(output.stderr.contains("--listen-token"), "{output}");
    assert!(
        !project.path().join(".omlsp").exists(),
        "nothing may have started"
    );
    let args = ["run", "p.sql", "--listen-token", "x"];
    project.omlsp(args).run().expect_code(2);

    let args = ["--listen", "0.0.0.0:0", "--listen-host", "watch.example"];
    let listening = Listening::start_with(&project, &args, &[("OMLSP_LISTEN_TOKEN", TOKEN)]);
    for path in ["/", "/metrics", "/health", "/ready"] {
        listening.get(path).expect_status(200);
    }
    let wrong = "Authorization: Bearer another\r\n";
    for path in ["/api/entities", "/api/graph", "/api/entities/numbers"] {
        assert!(
            listening
                .get(path)
                .expect_status(401)
                .head
                .contains("www-authenticate: bearer")
        );
        listening.get_with(path, wrong).expect_status(401);
    }
    listening.post_sql("SELECT 1", "").expect_status(401);
    listening.post_sql("SELECT 1", wrong).expect_status(401);

    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    listening.get_with("/api/entities", &right).json();
    let answer = listening
        .post_sql("CREATE VIEW v AS SELECT 1 AS one; SELECT * FROM v", &right)
        .json();
    assert_eq!(
        answer["results"][0]["rows"].to_string(),
        "[[\"1\"]]",
        "{answer}"
    );

    for (host, status) in [
        ("watch.example", 200),
        ("192.0.2.7", 200),
        ("evil.example", 403),
    ] {
        let request = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(listening.raw(request.as_bytes()).status, status, "{host}");
    }
    assert!(!listening.running.stderr().contains(TOKEN));
}

#[test]
fn a_token_in_the_environment_is_for_those_who_listen() {
    let project = Project::new();
    let sql = "CREATE TABLE numbers (n BIGINT) WITH (connector = 'generate', rows = 3);";
    project.file("p.sql", sql);
    let run = |more: &[&str]| {
        let args = ["run", "p.sql"].iter().chain(more);
        let omlsp = project.omlsp(args.copied());
        omlsp.env("OMLSP_LISTEN_TOKEN", TOKEN).run()
    };
    run(&["--once", "--ephemeral", "--record", "rec"]).expect_code(0);
    run(&["--replay", "rec"]).expect_code(0);
    run(&["--once", "--listen-token", "x"]).expect_code(2);
}

#[test]
fn an_address_in_use_is_told_before_anything_starts() {
    let project = project();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    let args = ["run", "p.sql", "--listen", &address];
    let output = project.omlsp(args).run().expect_code(1);
    assert!(
        output
            .stderr
            .contains(&format!("cannot listen on {address}")),
        "{output}"
    );
    assert!(!project.path().join(".omlsp").exists());
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    // More descriptors than a process usually has, for the clients.
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &own, "--nofile=4096:"])
        .status();
    assert!(
        raised.is_ok_and(|status| status.success()),
        "there is no `prlimit` command"
    );
    let project = project();
    let listening = Listening::start(&project);
    let connect = || TcpStream::connect(listening.address).expect("it listens");
    let idle: Vec<TcpStream> = (0..1000).map(|_| connect()).collect();
    listening.get("/health").expect_status(200);
    let before = listening.entity("ticks")["rows_out"].as_u64();
    listening.wait_for("ticks", "rows_out", |rows| rows.as_u64() > before);
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", listening.running.pid()));
    let count = descriptors.expect("it runs").count();
    assert!(count < 500, "{count} descriptors are open");
    drop(idle);
    listening.get("/metrics").expect_status(200);
}
