//! What the binary says of itself: help with examples, completions, manual pages.

use crate::support::binary::{Omlsp, Project};

/// Returns the subcommands that the help lists.
fn subcommands() -> Vec<String> {
    let help = Omlsp::new().args(["--help"]).run().expect_code(0).stdout;
    let list = help
        .split("Commands:\n")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next());
    let lines = list.expect("there is a list").lines();
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_subcommand_has_help_with_examples() {
    let names = subcommands();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let help = Omlsp::new()
            .args([name.as_str(), "--help"])
            .run()
            .expect_code(0)
            .stdout;
        assert!(
            help.contains(&format!("\n  omlsp {name}")),
            "{name} has no example:\n{help}"
        );
    }
    let help = Omlsp::new().args(["--help"]).run().expect_code(0).stdout;
    assert!(help.contains("Examples:\n  omlsp "), "{help}");
}

#[test]
fn completions_and_manual_pages_name_every_subcommand() {
    let project = Project::new();
    project.omlsp(["man", "share/man1"]).run().expect_code(0);
    let page = project.read("share/man1/omlsp.1").expect("there is a page");
    for name in subcommands() {
        assert!(
            page.contains(&format!("omlsp\\-{name}(1)")),
            "{name} in {page}"
        );
        let own = project
            .read(&format!("share/man1/omlsp-{name}.1"))
            .expect("it has a page");
        assert!(own.contains("Examples:"), "{own}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = project
            .omlsp(["completions", shell])
            .run()
            .expect_code(0)
            .stdout;
        for name in subcommands() {
            assert!(script.contains(&name), "no {name} for {shell}");
        }
    }
    let script = project.omlsp(["completions", "bash"]).run().stdout;
    let checked = std::process::Command::new("bash")
        .args(["-nc", &script])
        .status();
    assert!(checked.expect("there is a bash").success());
}
