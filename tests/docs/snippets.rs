//! Every snippet of SQL and shell in the README and in `docs/` is run, against servers on loopback.
//!
//! SQL is validated as it stands; then it runs, with the outside systems that it names replaced by servers of the
//! test. What reads or writes Kafka runs in `tests/kafka/documented.rs`, which has a broker.
//!
//! A shell snippet runs in a folder with what a clone has, with the built binary as `omlsp` and in the place of
//! `cargo run`. Its fence may say how: `sh beside-a-run` while the first example runs with its state in `.omlsp`;
//! `sh until-interrupted` one call of `omlsp run` until it is interrupted; `sh ci` commands that CI gives, which
//! are held against `.ci/run` since they build or test everything.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::places::Outside;
use crate::support::binary::Project;
use crate::support::snippets::{Snippet, of, read, root};

/// Long enough for every snippet on a busy machine.
const SHELL_MAX_S: &str = "90";

/// The languages that a test holds against the product, and those that show what it prints or reads.
const LANGUAGES: [&str; 8] = [
    "sql",
    "sh",
    "ini",
    "dockerfile",
    "yaml",
    "json",
    "jsonl",
    "text",
];

#[test]
fn no_fence_escapes() {
    for snippet in read().0 {
        let place = &snippet.place;
        let language = snippet.language.as_str();
        assert!(LANGUAGES.contains(&language), "{place}: `{language}`");
        let how = snippet.how.as_str();
        let known = match language {
            "sh" => ["", "beside-a-run", "until-interrupted", "ci"].contains(&how),
            _ => how.is_empty(),
        };
        assert!(known, "{place}: `{how}`");
        // What shows nothing but text has no commands in it.
        let shows = ["json", "jsonl", "text"].contains(&language);
        let commands = [
            "omlsp ", "cargo ", "just ", "curl ", "$ ", "CREATE ", "SELECT ",
        ];
        let hidden = snippet
            .text
            .lines()
            .any(|line| commands.iter().any(|head| line.starts_with(head)));
        assert!(!(shows && hidden), "{place}: a command in a `{language}`");
    }
}

#[test]
fn every_sql_snippet_is_valid_and_runs() {
    let snippets = of("sql");
    assert!(snippets.len() > 8, "the snippets have been found");
    let outside = Outside::start();
    let mut ran = 0;
    for snippet in snippets {
        let project = Project::new();
        project.file("snippet.sql", &snippet.text);
        let output = project.omlsp(["validate", "snippet.sql"]).run();
        assert_eq!(output.code, Some(0), "{}\n{output}", snippet.place);
        if snippet.text.contains("'kafka'") {
            continue;
        }
        run_sql(&project, &snippet, &outside);
        ran += 1;
    }
    assert!(ran > 6, "{ran}");
}

fn run_sql(project: &Project, snippet: &Snippet, outside: &Outside) {
    let place = &snippet.place;
    let text = outside.replace(&snippet.text);
    assert!(
        !text.contains(".com"),
        "{place}: a system that the test does not have\n{text}"
    );
    project.file("snippet.sql", &text);
    let before = outside.asked();
    // What has no end of its own is given one.
    let endless = text.contains("'ws'") || text.contains("rows_per_second");
    let mut args = vec!["run", "snippet.sql", "--ephemeral"];
    args.extend(if endless {
        ["--for", "2s"].as_slice()
    } else {
        &["--once"]
    });
    let output = project.omlsp(args).run();
    assert_eq!(output.code, Some(0), "{place}\n{output}");
    let complains = output.stderr.contains("WARN") || output.stderr.contains("ERROR");
    assert!(!complains, "{place}\n{output}");
    if text.contains("'stdout'") {
        assert!(
            !output.json_lines().is_empty(),
            "{place} prints nothing\n{output}"
        );
    }
    let asks = text.contains("://") && !text.trim_start().starts_with("CREATE TEMPORARY");
    assert!(
        !asks || outside.asked() > before,
        "{place} asked nobody\n{output}"
    );
}

/// A folder with what a clone has, so that nothing is written into ours.
fn clone() -> Project {
    let project = Project::new();
    for name in ["pipelines", "tests"] {
        std::os::unix::fs::symlink(root().join(name), project.path().join(name))
            .expect("a link can be made");
    }
    project
}

#[test]
fn every_shell_snippet_runs() {
    let snippets = of("sh");
    assert!(snippets.len() >= 8, "the snippets have been found");
    let outside = Outside::start();
    for snippet in snippets {
        match snippet.how.as_str() {
            "ci" => is_what_ci_runs(&snippet),
            "until-interrupted" => run_until_interrupted(&snippet, &outside),
            "beside-a-run" => run_beside(&snippet, &outside),
            _ => run_shell(&clone(), &snippet, &outside),
        }
    }
}

fn is_what_ci_runs(snippet: &Snippet) {
    let ci = std::fs::read_to_string(root().join(".ci/run")).expect("CI has a script");
    for line in snippet.text.lines() {
        let stands = ci.lines().any(|other| other == line);
        assert!(stands, "{}: CI does not run `{line}`", snippet.place);
    }
}

fn run_shell(project: &Project, snippet: &Snippet, outside: &Outside) {
    let binary = Path::new(env!("CARGO_BIN_EXE_omlsp"))
        .parent()
        .expect("it is in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let script = snippet.text.replace("cargo run --release -- ", "omlsp ");
    assert!(
        !script.contains("cargo "),
        "{}: a command of another kind",
        snippet.place
    );
    // The records that the examples ship with are of the real exchanges, which nobody asks.
    let shipped = ["pipelines/record", "quickstart/record", "omlsp test"];
    let exchanges = match shipped.iter().any(|part| script.contains(part)) {
        true => Vec::new(),
        false => outside.exchanges(),
    };
    let output = Command::new("timeout")
        .args([SHELL_MAX_S, "sh", "-euc", &script])
        .current_dir(project.path())
        .env("PATH", format!("{}:{path}", binary.display()))
        .envs(exchanges)
        .env_remove("OMLSP_STATE_DIR")
        .output()
        .expect("there is a `timeout` command");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let said = format!("{}: {}\n{stdout}\n{stderr}", snippet.place, output.status);
    assert!(output.status.success(), "{said}");
    // Every snippet shows something, but for the warnings that would spoil it.
    assert!(!stdout.is_empty() && !stderr.contains("WARN"), "{said}");
}

fn run_until_interrupted(snippet: &Snippet, outside: &Outside) {
    let project = clone();
    // A free port instead of the one that everybody has.
    let text = snippet.text.replace("--listen 9090", "--listen 0");
    let mut lines = text.lines();
    let (line, rest) = (lines.next().unwrap_or(""), lines.next());
    let args = line.strip_prefix("omlsp ").filter(|_| rest.is_none());
    let args = args.unwrap_or_else(|| panic!("{}: not one call of omlsp", snippet.place));
    let mut omlsp = project.omlsp(args.split_whitespace());
    for (name, value) in outside.exchanges() {
        omlsp = omlsp.env(name, value);
    }
    let mut running = omlsp.spawn();
    running.wait_for_stderr(" running");
    if line.contains("--listen") {
        running.wait_for_stderr("watch it at http://127.0.0.1:");
    }
    running.interrupt();
    let output = running.wait();
    assert_eq!(output.code, Some(0), "{}\n{output}", snippet.place);
    assert!(
        output.took < Duration::from_secs(60),
        "{}\n{output}",
        snippet.place
    );
}

/// Each line by itself; one that does not end by itself is ended once it has printed something.
fn run_beside(snippet: &Snippet, outside: &Outside) {
    let project = clone();
    let mut omlsp = project.omlsp(["run", "pipelines/01_tickers.sql", "steady.sql"]);
    // Rows that keep coming, beside those of once a minute.
    project.file(
        "steady.sql",
        "CREATE TABLE steady (n BIGINT) WITH (connector = 'generate', rows_per_second = 20);",
    );
    for (name, value) in outside.exchanges() {
        omlsp = omlsp.env(name, value);
    }
    let mut running = omlsp.spawn();
    running.wait_for_stderr(" running");
    for line in snippet.text.lines() {
        let args = line.strip_prefix("omlsp ");
        let args = args.unwrap_or_else(|| panic!("{}: `{line}`", snippet.place));
        let args = args.replace("tickers", "steady");
        let mut call = project.omlsp(args.split_whitespace()).spawn();
        if args.starts_with("tail ") {
            call.wait_until(|call| call.stdout_line_count() > 2, "changes");
            continue;
        }
        let output = call.wait();
        assert_eq!(output.code, Some(0), "{}: {line}\n{output}", snippet.place);
        assert!(
            !output.stdout.is_empty(),
            "{}: {line}\n{output}",
            snippet.place
        );
    }
    running.terminate();
    running.wait().expect_code(0);
}
