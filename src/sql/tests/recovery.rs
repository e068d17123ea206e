//! What is still read after a fault.

use super::{parse, show};
use crate::sql::StatementKind;

/// Asserts the faults as `message @ slice`, and the statements that were read all the same.
#[track_caller]
fn check(sql: &str, faults: &[&str], statements: &[&str]) {
    let (sources, parsed) = parse(sql);
    let found: Vec<String> = (parsed.faults.iter())
        .map(|fault| {
            let (line, _) = sources.line_column(fault.span);
            format!("{line}: {} @ {}", fault.message, sources.slice(fault.span))
        })
        .collect();
    assert_eq!(found, faults, "{sql}\n{}", sources.render(&parsed.faults));
    let shown: Vec<String> = parsed.statements.iter().map(show).collect();
    assert_eq!(shown, statements, "{sql}");
}

#[test]
fn goes_on_after_the_semicolon() {
    check(
        "DROP t;\nSHOW TABLES;\nCREATE TABLE t (a);\nSHOW;\nSHOW SINKS",
        &[
            "1: found `t`, expected a kind of entity after `DROP` @ t",
            "3: TABLE `t` has no options @ t",
            "3: column `a` has no type @ a",
            "4: found the end of the statement, expected what to show @ ;",
        ],
        &["show Tables", "show Sinks"],
    );
}

#[test]
fn unclosed_quote_at_the_end() {
    check(
        "SHOW TABLES; SELECT 'a; SELECT 2;",
        &["1: `'` is never closed @ '"],
        &["show Tables"],
    );
    check("SELECT \"a;", &["1: `\"` is never closed @ \""], &[]);
    check("SELECT $x$ a; $$", &["1: `$x$` is never closed @ $x$"], &[]);
    check(
        "SELECT 1 /* a; /* */",
        &["1: `/*` is never closed @ /*"],
        &[],
    );
    check("SELECT E'a\\'", &["1: `E'` is never closed @ E'"], &[]);
}

#[test]
fn unclosed_quote_does_not_swallow_the_next_statement() {
    check(
        "CREATE TABLE a (x INT) WITH (\n  url = 'http://x,\n  jq = '.'\n);\n\
         CREATE TABLE b (x INT) WITH (url = 'y');\nSHOW TABLES;",
        &["2: `'` is never closed @ '"],
        &["TABLE b (x: INT) with url='y'", "show Tables"],
    );
    check(
        "CREATE TABLE a (x INT) WITH (jq = '.', url = 'http://x);\nDROP TABLE b;\nSHOW TABLES;",
        &["1: `'` is never closed @ '"],
        &["drop TABLE b", "show Tables"],
    );
    let (sources, parsed) =
        parse("CREATE TABLE a (x INT) WITH (url = 'x);\nCREATE VIEW b AS SELECT 'y';");
    assert_eq!(sources.line_column(parsed.faults[0].span), (1, 36));
    assert_eq!(sources.slice(parsed.faults[0].labels[0].span), "CREATE");
    assert_eq!(parsed.statements.len(), 1);
    check(
        "SELECT \"a FROM t;\nSHOW TABLES;\nSELECT \"b\";",
        &["1: `\"` is never closed @ \""],
        &["show Tables", "query [SELECT \"b\"]"],
    );
    check(
        "SELECT 1 /* open;\nDESCRIBE t;",
        &["1: `/*` is never closed @ /*"],
        &["describe t"],
    );
}

#[test]
fn two_unclosed_quotes_are_two_faults() {
    check(
        "CREATE TABLE a (x INT) WITH (url = 'x);\nCREATE TABLE b (x INT) WITH (url = 'y);\n\
         CREATE TABLE c (x INT) WITH (url = 'z');",
        &["1: `'` is never closed @ '", "2: `'` is never closed @ '"],
        &["TABLE c (x: INT) with url='z'"],
    );
}

#[test]
fn text_that_looks_like_a_statement_is_a_text() {
    let sql = "CREATE TABLE a (x INT) WITH (q = '\nCREATE TABLE b\n');";
    check(sql, &[], &["TABLE a (x: INT) with q='\nCREATE TABLE b\n'"]);
}

#[test]
fn missing_semicolon() {
    check(
        "CREATE VIEW a AS SELECT 1\n\n  CREATE VIEW b AS SELECT 2\nDROP TABLE c",
        &[
            "3: found `CREATE`, expected `;` before it @ CREATE",
            "4: found `DROP`, expected `;` before it @ DROP",
        ],
        &["VIEW a [SELECT 1]", "VIEW b [SELECT 2]", "drop TABLE c"],
    );
    check(
        "CREATE TABLE a (x INT\nCREATE VIEW b AS SELECT 2",
        &["1: found the end of the statement, expected `)` @ "],
        &["VIEW b [SELECT 2]"],
    );
}

#[test]
fn faulty_names_are_remembered() {
    let (_, parsed) =
        parse("CREATE TABLE a (x) WITH (); CREATE VIEW b; CREATE TABLE c (x INT) WITH (u = 'x);");
    let broken: Vec<&str> = parsed
        .broken
        .iter()
        .map(|name| name.name.as_str())
        .collect();
    assert_eq!(broken, ["a", "b", "c"]);
}

#[test]
fn deep_and_large_input_is_read() {
    let deep = format!("SELECT {}1{};", "(".repeat(200_000), ")".repeat(200_000));
    let (_, parsed) = parse(&deep);
    assert!(matches!(parsed.statements[0].kind, StatementKind::Query(_)));
    let mixed = format!("SELECT {}{};", "[".repeat(200_000), ")".repeat(200_000));
    assert_eq!(parse(&mixed).1.faults.len(), 1);
    let open = "CREATE TABLE t (".repeat(50_000);
    assert_eq!(parse(&open).1.faults.len(), 1);
    let many = "CREATE VIEW v AS SELECT 'x\n".repeat(20_000);
    assert!(!parse(&many).1.faults.is_empty());
    let comments = "CREATE TABLE t /*\n".repeat(20_000);
    assert_eq!(parse(&comments).1.faults.len(), 51);
}
