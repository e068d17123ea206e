//! Secrets that statements create: kept encrypted, never shown.

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
