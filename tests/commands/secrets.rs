//! Secrets that statements create: kept encrypted, never shown.

use serde_json::json;

use crate::owner::{Owner, PIPELINE};
use crate::support::binary::{Project, wait_until};
use crate::support::http::{Reply, Server};

const CLEAR: &str = "correct-horse-battery-staple";

/// Fails if a file of the state has the text.
fn check_files(project: &Project, text: &str) {
    let folder = project.path().join("state");
    for file in std::fs::read_dir(&folder).expect("there is a state") {
        let path = file.expect("the folder can be read").path();
        // A socket has no content.
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let found = bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!found, "`{text}` is in {}", path.display());
    }
}

#[test]
fn a_secret_of_a_statement_is_used_and_never_shown() {
    let server = Server::start();
    server.on("GET", "/rows", |_| Reply::json(r#"[{"a": 1}]"#));
    let project = Project::new();
    project.file(
        "p.sql",
        format!("{PIPELINE} CREATE SECRET of_file WITH (backend = 'meta') AS '{CLEAR}-file';"),
    );
    let create = format!("CREATE SECRET token WITH (backend = 'meta') AS '{CLEAR}'");
    let table = format!(
        "CREATE TABLE remote (a BIGINT) WITH (connector = 'http', url = '{}/rows', interval = '50ms', \
         auth.type = 'bearer', auth.token = SECRET token)",
        server.url()
    );
    let mut printed = String::new();
    for key in ["", "a long passphrase"] {
        let env = [("OMLSP_SECRET_KEY", key)];
        let owner = Owner::start_with(&project, &env);
        let mut connection = owner.connect();
        for statement in [&create, &table] {
            let answer = connection.run(statement);
            assert!(answer.error.is_none(), "{answer:?}");
        }
        owner.wait_for("SELECT count(*) > 0 AS ok FROM remote");
        printed += &format!("{:?}", connection.run(&create));
        printed += &format!(
            "{:?}",
            connection.run(&format!(
                "CREATE SECRET x WITH (backend = 'mta') AS '{CLEAR}'"
            ))
        );
        printed += &format!(
            "{:?}",
            connection.run(&format!("CREATE SECRET y AS '{CLEAR}"))
        );
        printed += &format!(
            "{:?}",
            connection.run("SHOW CREATE SECRET token; SHOW CREATE TABLE remote")
        );
        let shown = connection.run("SHOW SECRETS").expect_rows();
        assert_eq!(
            format!("{shown:?}"),
            r#"[Array [String("of_file"), String("meta")], Array [String("token"), String("meta")]]"#
        );
        connection
            .run("DROP SECRET token")
            .expect_error("`token` is needed by `remote`");
        check_files(&project, CLEAR);
        printed += &owner.running.kill().to_string();
        check_files(&project, CLEAR);

        server.clear_requests();
        let owner = Owner::start_with(&project, &env);
        wait_until(
            || !server.requests().is_empty(),
            "the server is asked again",
        );
        owner.wait_for("SELECT count(*) > 0 AS ok FROM remote");
        let header = server
            .last_request()
            .header("authorization")
            .map(str::to_owned);
        assert_eq!(header, Some(format!("Bearer {CLEAR}")));
        owner
            .connect()
            .run("DROP SECRET token CASCADE")
            .expect_message("dropped SECRET token");
        printed += &owner.stop().to_string();
        check_files(&project, CLEAR);
    }
    assert!(!printed.contains(CLEAR), "{printed}");
}

#[test]
fn a_secret_of_any_name_is_shown_as_a_statement_that_parses() {
    let project = Project::new();
    project.file(
        "p.sql",
        format!(r#"{PIPELINE} CREATE SECRET "select" WITH (backend = 'meta') AS '{CLEAR}-file';"#),
    );
    for start in 0..2 {
        let owner = Owner::start_with(&project, &[("OMLSP_SECRET_KEY", "")]);
        let mut connection = owner.connect();
        for (name, written) in [
            ("plain", "plain"),
            ("my key", r#""my key""#),
            ("of \"us\"", r#""of ""us""""#),
            ("if", r#""if""#),
            ("select", r#""select""#),
        ] {
            let quoted = name.replace('"', "\"\"");
            if start == 0 && name != "select" {
                let create =
                    format!(r#"CREATE SECRET "{quoted}" WITH (backend = 'meta') AS '{CLEAR}'"#);
                let answer = connection.run(&create);
                assert!(answer.error.is_none(), "{answer:?}");
            }
            let shown = connection.run(&format!(r#"SHOW CREATE SECRET "{quoted}""#));
            let expected = format!("CREATE SECRET {written} WITH (backend = 'meta') AS '***'");
            assert_eq!(shown.expect_rows(), [json!([name, expected])]);
        }
        // The next start reads what the state has of them.
        owner.stop();
    }
    let args = [
        "sql",
        "--state-dir",
        "state",
        "SHOW CREATE SECRET \"select\"",
    ];
    project.omlsp(args).run().expect_code(0);
}

#[test]
fn credentials_that_are_written_out_are_never_shown() {
    let project = Project::new();
    let write = |token: &str| {
        let table = format!(
            "CREATE TABLE remote (a BIGINT) WITH (connector = 'http', interval = '1h',
                url = 'http://127.0.0.1:1/rows', auth.type = 'bearer',
                auth.token = '{token}');"
        );
        project.file("p.sql", format!("{PIPELINE} {table}"));
    };
    write(CLEAR);
    let owner = Owner::start(&project);
    let mut connection = owner.connect();
    let shown = format!("{:?}", connection.run("SHOW CREATE TABLE remote"));
    assert!(shown.contains("auth.type = 'bearer'"), "{shown}");
    assert!(shown.contains("auth.token = '***"), "{shown}");
    let faulty = format!(
        "CREATE TABLE t (a BIGINT) WITH (connector = 'http', url = 'http://h', interval = '1h', \
         auth.typ = 'bearer', auth.token = '{CLEAR}')"
    );
    let refused = format!("{:?}", connection.run(&faulty));
    assert!(refused.contains("auth.typ"), "{refused}");
    owner.stop();
    write(&format!("{CLEAR}-2"));
    let output = project
        .omlsp(["run", "p.sql", "--state-dir", "state"])
        .run();
    assert!(output.stderr.contains("+ "), "{output}");
    for text in [shown, refused, output.to_string()] {
        assert!(!text.contains(CLEAR), "{text}");
    }
}

#[test]
fn the_wrong_key_is_said_so() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let sql = |key: &str, sql: &str| {
        let args = ["sql", "--state-dir", "state", "--format", "csv", sql];
        project.omlsp(args).env("OMLSP_SECRET_KEY", key).run()
    };
    sql(
        "one",
        &format!("CREATE SECRET token WITH (backend = 'meta') AS '{CLEAR}'"),
    )
    .expect_code(0);
    let shown = sql("one", "SHOW SECRETS").expect_code(0);
    assert_eq!(shown.stdout, "name,backend\ntoken,meta\n");
    let refused = sql("two", "SHOW SECRETS").expect_code(1);
    assert!(
        refused
            .stderr
            .contains("another key than that of OMLSP_SECRET_KEY"),
        "{refused}"
    );
    check_files(&project, CLEAR);
}

#[test]
fn what_needs_no_secret_of_a_file_works_on_a_state_that_nobody_runs() {
    let server = Server::start();
    server.on("GET", "/rows", |_| Reply::json(r#"[{"a": 1}]"#));
    server.on("GET", "/price/*", |_| Reply::json(r#"[{"price": 2}]"#));
    let project = Project::new();
    let url = server.url();
    project.file("url.txt", format!("{url}/rows"));
    project.file(
        "p.sql",
        format!(
            "CREATE SECRET of_text WITH (backend = 'meta') AS '{CLEAR}';
             CREATE SECRET of_variable WITH (backend = 'env') AS 'TOKEN';
             CREATE SECRET of_file WITH (backend = 'file') AS 'url.txt';
             CREATE TABLE markets (n BIGINT, symbol STRING AS ('S' || n)) WITH (connector = 'generate', rows = 3);
             CREATE TABLE remote (a BIGINT) WITH (connector = 'http', url = SECRET of_file, interval = '1h');
             CREATE TEMP TABLE free ($symbol STRING, price BIGINT) WITH (
                 connector = 'lookup-http', url = '{url}/price/$symbol');
             CREATE TEMP TABLE paid ($symbol STRING, price BIGINT) WITH (
                 connector = 'lookup-http', url = '{url}/price/$symbol',
                 headers.A = SECRET of_text, headers.B = SECRET of_variable);
             CREATE VIEW freely AS SELECT m.n, f.price FROM markets m JOIN free f ON f.symbol = m.symbol;
             CREATE VIEW dearly AS SELECT m.n, p.price FROM markets m JOIN paid p ON p.symbol = m.symbol;"
        ),
    );
    let once = || {
        let args = ["run", "--once", "p.sql", "--state-dir", "state"];
        project.omlsp(args).env("TOKEN", CLEAR).run().expect_code(0)
    };
    once();
    let sql = |code: i32, sql: &str| {
        let args = ["sql", "--state-dir", "state", "--format", "csv", sql];
        project.omlsp(args).run().expect_code(code)
    };
    let sum = "SELECT sum(price) AS price FROM";
    assert_eq!(sql(0, &format!("{sum} freely")).stdout, "price\n6\n");
    server.clear_requests();
    let refused = sql(1, &format!("{sum} dearly"));
    let told = "lookup `paid` needs secret `of_text`, which comes from a file and is not kept in the state; \
                ask while the pipeline runs";
    assert!(refused.stderr.contains(told), "{refused}");
    assert!(server.requests().is_empty());
    sql(0, "EXPLAIN SELECT * FROM dearly");
    sql(
        0,
        "CREATE VIEW more AS SELECT a + 1 AS a FROM remote;
         CREATE SINK printed FROM more WITH (connector = 'stdout')",
    );
    let refused = sql(
        1,
        "CREATE SINK sent FROM more WITH (connector = 'http', url = SECRET of_file)",
    );
    for told in [
        "secret `of_file` comes from a file and is not kept in the state",
        "create `sent` while the pipeline runs",
    ] {
        assert!(refused.stderr.contains(told), "{refused}");
    }
    check_files(&project, CLEAR);
    assert_eq!(once().stdout, "{\"a\":2}\n{\"a\":2}\n");
}
