//! What is accepted, what is refused and in which words, and what the commands answer.

use std::path::{Path, PathBuf};

use crate::support::binary::{Omlsp, Output, Project};
use crate::support::golden::{check, check_all, files};

/// The cases that a misuse of each statement and each option takes at least.
const REJECTED_MIN: usize = 60;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn folder(name: &str) -> PathBuf {
    root().join("tests/dialect").join(name)
}

/// Validates files of the repository, named from its root on, as the golden files have them.
fn validate(path: &Path) -> Output {
    let path = path
        .strip_prefix(root())
        .expect("the file is in the repository");
    Omlsp::new()
        .dir(root())
        .args(["validate".into(), path.as_os_str().to_owned()])
        .run()
}

#[test]
fn each_page_of_the_manual_is_valid() {
    let pages = files(&folder("accept"), "sql");
    assert!(pages.len() >= 20, "{} pages", pages.len());
    for page in pages {
        let output = validate(&page).expect_code(0);
        assert_eq!(output.stdout, "");
        assert!(output.stderr.ends_with(" in 1 file: valid\n"), "{output}");
    }
}

#[test]
fn the_manual_is_one_valid_pipeline() {
    let output = validate(&folder("accept")).expect_code(0);
    assert!(output.stderr.ends_with("valid\n"), "{output}");
}

#[test]
fn the_pipelines_are_one_valid_pipeline() {
    let output = validate(&root().join("pipelines")).expect_code(0);
    assert!(output.stderr.ends_with("valid\n"), "{output}");
}

#[test]
fn each_misuse_is_told_to_the_letter() {
    let cases = files(&folder("reject"), "sql");
    assert!(cases.len() >= REJECTED_MIN, "{} cases", cases.len());
    let told: Vec<(PathBuf, String)> = cases
        .iter()
        .map(|case| {
            let output = validate(case).expect_code(1);
            assert_eq!(output.stdout, "", "{output}");
            (case.with_extension("txt"), output.stderr)
        })
        .collect();
    check_all(
        told.iter()
            .map(|(path, text)| (path.as_path(), text.clone())),
    );
    // A golden file whose case is gone would be compared with nothing.
    for golden in files(&folder("reject"), "txt") {
        assert!(
            golden.with_extension("sql").exists(),
            "{}",
            golden.display()
        );
    }
}

#[test]
fn the_commands_answer_as_their_page_says() {
    for page in files(&folder("commands"), "sql") {
        let project = Project::new();
        let script = page.as_os_str().to_owned();
        let output = project
            .omlsp([
                "sql".into(),
                "--format".into(),
                "csv".into(),
                "-f".into(),
                script,
            ])
            .run()
            .expect_code(0);
        let text = format!("{}\n-- on stderr --\n{}", output.stdout, output.stderr);
        check(&page.with_extension("txt"), &text);
    }
}
