//! Every snippet of SQL and shell in the README and in `docs/`.
//!
//! SQL goes through `omlsp validate`, a shell snippet is run in a folder of its own with the built binary as
//! `omlsp`, and `cargo run --release --` in its place. What cannot run in a test says why in its fence:
//! ```` ```sh no-run="why" ````.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::binary::Project;

/// Snippets that are not run; there is to be a reason for each.
const NOT_RUN_MAX: usize = 14;

struct Snippet {
    /// File and line.
    place: String,
    language: String,
    not_run: Option<String>,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("docs")).expect("the folder can be read");
    let pages = folder.map(|entry| entry.expect("it stays readable").path());
    let mut pages: Vec<PathBuf> = pages
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

fn snippets() -> Vec<Snippet> {
    let mut snippets = Vec::new();
    for path in documents() {
        let text = std::fs::read_to_string(&path).expect("it is a text");
        let mut open: Option<Snippet> = None;
        for (number, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => snippets.extend(open.take()),
                (Some(info), None) => {
                    let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                    let not_run = rest
                        .strip_prefix("no-run=\"")
                        .and_then(|rest| rest.strip_suffix('"'));
                    assert!(
                        rest.is_empty() || not_run.is_some(),
                        "{}:{}: {info}",
                        path.display(),
                        number + 1
                    );
                    open = Some(Snippet {
                        place: format!("{}:{}", path.display(), number + 1),
                        language: language.to_owned(),
                        not_run: not_run.map(str::to_owned),
                        text: String::new(),
                    });
                }
                (None, Some(snippet)) => {
                    snippet.text.push_str(line);
                    snippet.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", path.display());
    }
    snippets
}

/// Those of a language that can run.
fn of(language: &str) -> Vec<Snippet> {
    let all = snippets().into_iter();
    all.filter(|snippet| snippet.language == language && snippet.not_run.is_none())
        .collect()
}

#[test]
fn every_fence_names_a_language_and_few_are_not_run() {
    let known = [
        "sql",
        "sh",
        "json",
        "jsonl",
        "text",
        "rust",
        "ini",
        "dockerfile",
        "yaml",
    ];
    let mut not_run = 0;
    for snippet in snippets() {
        let place = &snippet.place;
        assert!(
            known.contains(&snippet.language.as_str()),
            "{place}: `{}`",
            snippet.language
        );
        if let Some(why) = &snippet.not_run {
            assert!(why.len() > 10, "{place}: say why");
            not_run += 1;
        }
    }
    assert!(not_run <= NOT_RUN_MAX, "{not_run} snippets are not run");
}

#[test]
fn every_sql_snippet_is_valid() {
    let snippets = of("sql");
    assert!(snippets.len() > 8, "the snippets have been found");
    for snippet in snippets {
        let project = Project::new();
        project.file("snippet.sql", &snippet.text);
        let output = project.omlsp(["validate", "snippet.sql"]).run();
        assert_eq!(output.code, Some(0), "{}\n{output}", snippet.place);
    }
}

#[test]
fn every_shell_snippet_runs() {
    let binary = Path::new(env!("CARGO_BIN_EXE_omlsp"))
        .parent()
        .expect("it is in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let snippets = of("sh");
    assert!(snippets.len() >= 4, "the snippets have been found");
    for snippet in snippets {
        // A folder with what a clone has, so that nothing is written into ours.
        let project = Project::new();
        for name in ["pipelines", "tests"] {
            std::os::unix::fs::symlink(root().join(name), project.path().join(name))
                .expect("a link can be made");
        }
        let script = snippet.text.replace("cargo run --release -- ", "omlsp ");
        let output = Command::new("timeout")
            .args(["60", "sh", "-euc", &script])
            .current_dir(project.path())
            .env("PATH", format!("{}:{path}", binary.display()))
            .env_remove("OMLSP_STATE_DIR")
            .output()
            .expect("there is a `timeout` command");
        assert!(
            output.status.success(),
            "{}: {}\n{}\n{}",
            snippet.place,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
