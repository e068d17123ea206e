//! What is said of faulty statements: every file in `misuse/` is a list of statements (`> …`), each with
//! its faults to the letter and to the column. Carets are under the culprit (`|` is an empty place before
//! a character), dashes under second places.

use std::fmt::Write as _;

use super::parse;
use crate::diagnostic::{SourceMap, Span};

/// Writes a statement and its faults in the form of the files.
fn report(sql: &str) -> String {
    let (sources, parsed) = parse(sql);
    let mut report = format!("> {sql}\n");
    for fault in &parsed.faults {
        let marks = marks(&sources, fault.span, "^");
        writeln!(report, "  {marks} {}", fault.message).unwrap();
        for label in &fault.labels {
            let marks = self::marks(&sources, label.span, "-");
            writeln!(report, "  {marks} {}", label.text).unwrap();
        }
        if let Some(label) = &fault.label {
            writeln!(report, "    label: {label}").unwrap();
        }
        if let Some(help) = &fault.help {
            writeln!(report, "    help: {help}").unwrap();
        }
    }
    report
}

fn marks(sources: &SourceMap, span: Span, mark: &str) -> String {
    let indent = sources.text(span.file)[..span.start].chars().count();
    let width = sources.slice(span).chars().count();
    let mark = if width == 0 {
        "|".to_owned()
    } else {
        mark.repeat(width)
    };
    " ".repeat(indent) + &mark
}

#[track_caller]
fn check(expected: &str) {
    let mut count = 0;
    let mut actual = String::new();
    for line in expected.lines() {
        if let Some(sql) = line.strip_prefix("> ") {
            count += 1;
            actual.push_str(&report(sql));
        }
    }
    assert!(count > 0);
    let differing =
        (actual.lines().zip(expected.lines())).find(|(actual, expected)| actual != expected);
    assert_eq!(differing, None, "\n{actual}");
    assert_eq!(actual, expected);
    for block in actual.split("> ").skip(1) {
        assert!(block.lines().count() > 1, "no fault: {block}");
    }
}

#[test]
fn unknown_statements() {
    check(include_str!("misuse/statements.txt"));
}

#[test]
fn create_heads() {
    check(include_str!("misuse/create.txt"));
}

#[test]
fn column_lists() {
    check(include_str!("misuse/columns.txt"));
}

#[test]
fn option_lists() {
    check(include_str!("misuse/options.txt"));
}

#[test]
fn views_sinks_and_secrets() {
    check(include_str!("misuse/queries.txt"));
}

#[test]
fn commands() {
    check(include_str!("misuse/commands.txt"));
}

/// A fault in or near a secret's value or an option's value does not repeat it.
#[test]
fn messages_repeat_no_value() {
    let statements = [
        "CREATE SECRET k WITH (backend = 'meta') AS hunter2",
        "CREATE SECRET k WITH (backend = 'meta') AS \"hunter2\"",
        "CREATE SECRET k WITH (backend = 'meta') AS E'hunter2'",
        "CREATE SECRET k WITH (backend = 'meta') AS 'x' hunter2",
        "CREATE SECRET k WITH (backend = 'meta') 'hunter2'",
        "CREATE SECRET k WITH (backend = 'meta') hunter2",
        "CREATE SECRET k AS 'hunter2'",
        "CREATE SECRET k AS 'hunter2",
        "CREATE SECRET k 'hunter2'",
        "CREATE TABLE t (a INT) WITH (password = \"hunter2\")",
        "CREATE TABLE t (a INT) WITH (password = hunter2!)",
        "CREATE TABLE t (a INT) WITH (password 'hunter2')",
        "CREATE TABLE t (a INT) WITH (password hunter2)",
        "CREATE TABLE t (a INT) WITH (password = 'x' 'hunter2')",
        "CREATE TABLE t (a INT) WITH (password = 'x'hunter2')",
        "CREATE TABLE t (a INT) WITH (password = SECRET 'hunter2')",
        "CREATE TABLE t (a INT) WITH (password = $hunter2)",
        "SET password 'hunter2'",
    ];
    for sql in statements {
        let (_, parsed) = parse(sql);
        assert!(!parsed.faults.is_empty(), "{sql}");
        for fault in &parsed.faults {
            let words = format!(
                "{} {:?} {:?} {:?}",
                fault.message, fault.label, fault.labels, fault.help
            );
            assert!(!words.contains("hunter2"), "{sql}: {words}");
        }
    }
}
