//! The shell, fed through a pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::owner::{Owner, PIPELINE};
use crate::support::binary::Project;

#[test]
fn statements_of_several_lines_and_commands_are_executed() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    owner.wait_for("SELECT count(*) = 10 AS ok FROM numbers");
    let input = "\\?\nSELECT count(*) AS rows\nFROM numbers\n-- not yet;\n;\n\\f csv\n\
                 SELECT nothing;\nSET statement_timeout = '1h'; SELECT 'a;b' AS text;\n\\d numbers\nSELECT 7 AS last";
    let output = project
        .omlsp(["shell", "--state-dir", "state"])
        .stdin(input)
        .run()
        .expect_code(1);
    assert!(output.stdout.contains("\\q"), "{output}");
    assert!(
        output.stdout.contains("│   10 │") && output.stdout.contains("1 row\n"),
        "{output}"
    );
    assert!(
        output.stdout.ends_with(
            "text\na;b\ncolumn,type,note\nn,BIGINT,primary key\nhalf,DOUBLE,AS (n / 2)\nlast\n7\n"
        ),
        "{output}"
    );
    assert!(output.stderr.contains("nothing"), "{output}");
    owner.stop();
    // Without an owner it reads the state.
    let output = project
        .omlsp(["shell", "--state-dir", "state"])
        .stdin("SELECT sum(n) AS n FROM numbers;\n\\q\nSELECT 1;\n")
        .run();
    assert!(
        output.clone().expect_code(0).stdout.contains("45"),
        "{output}"
    );
}

#[test]
fn an_interrupt_cancels_the_statement_and_not_the_shell() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    let owner = Owner::start(&project);
    for with_owner in [true, false] {
        if !with_owner {
            project.file("state2/empty", "");
        }
        let state = if with_owner { "state" } else { "state2" };
        let mut shell = Command::new(env!("CARGO_BIN_EXE_omlsp"))
            .args(["shell", "--format", "csv", "--state-dir", state])
            .current_dir(project.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let mut stdin = shell.stdin.take().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let long = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b WHERE a.range < b.range";
        // The first result says that the second statement is next.
        writeln!(stdin, "SELECT 1 AS started; {long};").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "started");
        assert_eq!(lines.next().unwrap().unwrap(), "1");
        let killed = Command::new("kill")
            .args(["-INT", &shell.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        writeln!(stdin, "SELECT 2 AS after;").unwrap();
        // An empty line stands between results, and the header of the long one may have been printed.
        let mut until_after = lines.by_ref().take(4).map(Result::unwrap);
        assert!(until_after.any(|line| line == "after"));
        assert_eq!(lines.next().unwrap().unwrap(), "2");
        drop(stdin);
        let output = shell.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("cancelled"), "{stderr}");
    }
    owner.stop();
}
