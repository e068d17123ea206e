//! What the prose of the documentation names in backticks exists: flags, subcommands, recipes, files.

use std::collections::BTreeSet;

use crate::support::binary::Omlsp;
use crate::support::snippets::{read, root, spans};

fn help_of(args: &[&str]) -> String {
    Omlsp::new()
        .args(args.iter().copied())
        .run()
        .expect_code(0)
        .stdout
}

/// Returns the words of a text that are flags.
fn flags(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .collect()
}

#[test]
fn every_flag_and_subcommand_exists() {
    let general = help_of(&["--help"]);
    let list = general
        .split("Commands:\n")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next());
    let names: BTreeSet<&str> = (list.expect("there is a list").lines())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut help = general.clone();
    for name in names.iter().filter(|name| **name != "help") {
        help.push_str(&help_of(&[name, "--help"]));
    }
    let (known, prose) = (flags(&help), read().1);
    let mut seen = 0;
    for span in spans(&prose) {
        let foreign = ["cargo ", "just ", "bash "]
            .iter()
            .any(|head| span.starts_with(head));
        if foreign {
            continue;
        }
        for flag in flags(&span) {
            assert!(known.contains(flag), "no `{flag}` of `{span}`");
            seen += 1;
        }
        if let Some(rest) = span.strip_prefix("omlsp ") {
            let name = rest.split_whitespace().next().unwrap_or("");
            assert!(name.starts_with('-') || names.contains(name), "no `{span}`");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_recipe_and_link_exists() {
    let recipes = std::fs::read_to_string(root().join("Justfile")).expect("it is there");
    let prose = read().1;
    for span in spans(&prose) {
        let Some(rest) = span.strip_prefix("just ") else {
            continue;
        };
        let name = rest.split_whitespace().next().unwrap_or("");
        let stands = recipes
            .lines()
            .any(|line| line.split([' ', ':']).next() == Some(name));
        assert!(stands, "no recipe `{span}`");
    }
    let mut links = 0;
    for path in crate::support::snippets::documents() {
        let text = std::fs::read_to_string(&path).expect("it is a text");
        let folder = path.parent().expect("it is in a folder");
        for piece in text.split("](").skip(1) {
            let target = piece.split([')', '#']).next().unwrap_or("");
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(
                folder.join(target).exists(),
                "{}: no {target}",
                path.display()
            );
            links += 1;
        }
    }
    assert!(links > 8, "{links}");
}

/// Returns the text of all files of a folder.
fn source(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("it stays readable").path();
        if path.is_dir() {
            source(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn every_name_of_the_guide_to_connectors_is_in_the_code() {
    let mut code = String::new();
    source(&root().join("src"), &mut code);
    let page = std::fs::read_to_string(root().join("docs/connectors.md")).expect("it is there");
    let mut seen = 0;
    for span in spans(&page) {
        let words = span.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        // Types, constants and functions; what is all lower case may be an option.
        let names = words.filter(|word| {
            word.starts_with(|c: char| c.is_ascii_uppercase()) && word.len() > 6
                || word.starts_with("take_")
        });
        for name in names {
            assert!(code.contains(name), "no `{name}` of `{span}`");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}
