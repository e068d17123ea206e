//! Every form of statement, and what it is parsed into. Faults are in `misuse`, recovery in `recovery`.

mod misuse;
mod mutation;
mod recovery;
mod tokens;

use std::fmt::Write as _;

use super::*;
use crate::diagnostic::SourceMap;

/// Parses a file and returns its texts and what became of it.
fn parse(sql: &str) -> (SourceMap, Parsed) {
    let mut sources = SourceMap::default();
    let file = sources.add("test.sql", sql);
    let parsed = parse_file(&sources, file);
    (sources, parsed)
}

/// Asserts that a file is one statement without fault, and what is in it, in the words of [`show`].
#[track_caller]
fn check(sql: &str, expected: &str) {
    let (sources, parsed) = parse(sql);
    assert!(
        parsed.faults.is_empty(),
        "{sql}\n{}",
        sources.render(&parsed.faults)
    );
    let shown: Vec<String> = parsed.statements.iter().map(show).collect();
    assert_eq!(shown.join("\n"), expected, "{sql}");
    for statement in &parsed.statements {
        for text in raw_texts(statement) {
            assert_eq!(sources.slice(text.span), text.text, "{sql}");
        }
    }
}

fn show(statement: &Statement) -> String {
    match &statement.kind {
        StatementKind::Create(create) => show_create(create),
        StatementKind::Drop(drop) => {
            let if_exists = if drop.if_exists { " if exists" } else { "" };
            let cascade = if drop.cascade { " cascade" } else { "" };
            let kind = drop.kind.words();
            format!("drop{if_exists} {kind} {}{cascade}", drop.name.name)
        }
        StatementKind::Show { what, .. } => format!("show {what:?}"),
        StatementKind::ShowCreate { kind, name } => {
            format!("show create {kind:?} {}", name.name)
        }
        StatementKind::Describe(name) => format!("describe {}", name.name),
        StatementKind::Explain(query) => format!("explain [{}]", query.text),
        StatementKind::Query(query) => format!("query [{}]", query.text),
        StatementKind::Set { name, value } => format!("set {}={}", name.name, show_value(value)),
    }
}

fn show_create(create: &Create) -> String {
    let mut text = create.definition.kind().words().to_owned();
    if create.or_replace {
        text.push_str(" or replace");
    }
    if create.if_not_exists {
        text.push_str(" if not exists");
    }
    write!(text, " {}", create.name.name).unwrap();
    match &create.definition {
        Definition::Table(relation)
        | Definition::Source(relation)
        | Definition::Lookup(relation) => {
            show_relation(&mut text, relation);
        }
        Definition::View { query } => write!(text, " [{}]", query.text).unwrap(),
        Definition::MaterializedView {
            query,
            emit_on_window_close,
        } => {
            write!(text, " [{}]", query.text).unwrap();
            if emit_on_window_close.is_some() {
                text.push_str(" emit");
            }
        }
        Definition::Sink {
            input,
            options,
            emit_on_window_close,
        } => {
            match input {
                SinkInput::Relation(name) => write!(text, " {}", name.name).unwrap(),
                SinkInput::Query(query) => write!(text, " [{}]", query.text).unwrap(),
            }
            if emit_on_window_close.is_some() {
                text.push_str(" emit");
            }
            show_options(&mut text, options);
        }
        Definition::Secret { options, value } => {
            show_options(&mut text, options);
            write!(text, " {}", show_value(value)).unwrap();
        }
    }
    text
}

fn show_relation(text: &mut String, relation: &Relation) {
    text.push_str(" (");
    for param in &relation.params {
        write!(text, "${}: {}, ", param.name.name, param.sql_type.text).unwrap();
    }
    for column in &relation.columns {
        write!(text, "{}: {}", column.name.name, column.sql_type.text).unwrap();
        if let Some(generated) = &column.generated {
            write!(text, " = [{}]", generated.text).unwrap();
        }
        text.push_str(if column.not_null { "!, " } else { ", " });
    }
    if let Some(key) = &relation.primary_key {
        let names: Vec<&str> = key.columns.iter().map(|name| name.name.as_str()).collect();
        write!(text, "key {}, ", names.join("+")).unwrap();
    }
    if let Some(watermark) = &relation.watermark {
        let expression = &watermark.expression.text;
        write!(text, "watermark {} [{expression}], ", watermark.column.name).unwrap();
    }
    text.truncate(text.len() - 2);
    text.push(')');
    for include in &relation.includes {
        let (name, sql_type) = (&include.name.name, &include.sql_type.text);
        write!(text, " include {:?} as {name} {sql_type}", include.what).unwrap();
    }
    show_options(text, &relation.options);
}

fn show_options(text: &mut String, options: &OptionList) {
    assert!(options.present);
    text.push_str(" with");
    for entry in &options.entries {
        write!(text, " {}={}", entry.key.name, show_value(&entry.value)).unwrap();
    }
}

fn show_value(value: &OptionValue) -> String {
    match &value.kind {
        OptionValueKind::Text(text) => format!("'{text}'"),
        OptionValueKind::Bare(text) => text.clone(),
        OptionValueKind::Secret(name) => format!("secret:{}", name.name),
    }
}

fn raw_texts(statement: &Statement) -> Vec<&SqlText> {
    match &statement.kind {
        StatementKind::Explain(query) | StatementKind::Query(query) => vec![query],
        StatementKind::Create(create) => match &create.definition {
            Definition::Table(relation)
            | Definition::Source(relation)
            | Definition::Lookup(relation) => {
                let params = relation.params.iter().map(|param| &param.sql_type);
                let types = relation.columns.iter().map(|column| &column.sql_type);
                let generated = relation.columns.iter().flat_map(|column| &column.generated);
                let watermark = relation.watermark.iter().map(|mark| &mark.expression);
                params
                    .chain(types)
                    .chain(generated)
                    .chain(watermark)
                    .collect()
            }
            Definition::View { query } | Definition::MaterializedView { query, .. } => vec![query],
            Definition::Sink {
                input: SinkInput::Query(query),
                ..
            } => vec![query],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[test]
fn tables() {
    let cases = [
        (
            "CREATE TABLE t (a INT) WITH (url = 'x')",
            "TABLE t (a: INT) with url='x'",
        ),
        (
            "create table T (A int,) with (url = 'x',);",
            "TABLE T (A: int) with url='x'",
        ),
        (
            "CREATE OR REPLACE TABLE t (a INT) WITH ()",
            "TABLE or replace t (a: INT) with",
        ),
        (
            "CREATE TABLE IF NOT EXISTS \"my t\" (\"a \"\"b\" INT NOT NULL) WITH ()",
            "TABLE if not exists my t (a \"b: INT!) with",
        ),
        (
            "CREATE TABLE t (a INT, b VARCHAR, PRIMARY KEY (A, b,)) WITH ()",
            "TABLE t (a: INT, b: VARCHAR, key A+b) with",
        ),
        (
            "CREATE TABLE t (a INT PRIMARY KEY, b INT NULL, c INT NOT NULL) WITH ()",
            "TABLE t (a: INT, b: INT, c: INT!, key a) with",
        ),
        (
            "CREATE TABLE t (a DECIMAL(18, 2), b STRUCT(x INT, y VARCHAR[])[], c INT[3], \
             d TIMESTAMP WITH TIME ZONE NOT NULL, e DOUBLE PRECISION, f MAP(VARCHAR, INT), \
             g ENUM('a,b', 'c)')) WITH ()",
            "TABLE t (a: DECIMAL(18, 2), b: STRUCT(x INT, y VARCHAR[])[], c: INT[3], \
             d: TIMESTAMP WITH TIME ZONE!, e: DOUBLE PRECISION, f: MAP(VARCHAR, INT), \
             g: ENUM('a,b', 'c)')) with",
        ),
        (
            "CREATE TABLE t (a INT, b BIGINT AS (a + f(')', 2) /* why */) NOT NULL) WITH ()",
            "TABLE t (a: INT, b: BIGINT = [a + f(')', 2)]!) with",
        ),
        (
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
             INCLUDE key AS k INCLUDE header 'h' AS h INCLUDE offset INCLUDE PARTITION \
             INCLUDE timestamp INCLUDE key BYTEA INCLUDE header 'h' blob AS b WITH ()",
            "SOURCE s (ts: TIMESTAMP, watermark ts [ts - INTERVAL '5' SECOND]) \
             include Key as k VARCHAR include Header(\"h\") as h VARCHAR \
             include Offset as kafka_offset BIGINT include Partition as kafka_partition INTEGER \
             include Timestamp as kafka_timestamp TIMESTAMP include Key as kafka_key BLOB \
             include Header(\"h\") as b BLOB with",
        ),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (kafka_offset, p)) INCLUDE offset INCLUDE partition AS p WITH ()",
            "TABLE t (a: INT, key kafka_offset+p) include Offset as kafka_offset BIGINT \
             include Partition as p INTEGER with",
        ),
        (
            "CREATE TABLE t (key INT, primary INT, watermark INT, unique INT, \"from\" INT, to INT) WITH ()",
            "TABLE t (key: INT, primary: INT, watermark: INT, unique: INT, from: INT, to: INT) with",
        ),
    ];
    for (sql, expected) in cases {
        check(sql, expected);
    }
}

#[test]
fn lookups() {
    let cases = [
        (
            "CREATE TEMP TABLE l ($symbol VARCHAR, open DOUBLE, s VARCHAR AS ($symbol || '$x')) WITH ()",
            "TEMPORARY TABLE l ($symbol: VARCHAR, open: DOUBLE, s: VARCHAR = [$symbol || '$x']) with",
        ),
        (
            "CREATE OR REPLACE TEMPORARY TABLE l (a INT, $p DECIMAL(3,1)) WITH ()",
            "TEMPORARY TABLE or replace l ($p: DECIMAL(3,1), a: INT) with",
        ),
        (
            "CREATE TEMP TABLE l ($symbol VARCHAR, symbol VARCHAR) WITH ()",
            "TEMPORARY TABLE l ($symbol: VARCHAR, symbol: VARCHAR) with",
        ),
    ];
    for (sql, expected) in cases {
        check(sql, expected);
    }
}

#[test]
fn options() {
    let cases = [
        (
            "'url' = 'a', url2 = 'b', \"url 3\" = 'c'",
            "url='a' url2='b' url 3='c'",
        ),
        (
            "headers.Accept = 'x', headers.X-Api-Key='y'",
            "headers.Accept='x' headers.X-Api-Key='y'",
        ),
        (
            "subscribe.0 = 'x', subscribe.1 = 'y', a.0.b = 1",
            "subscribe.0='x' subscribe.1='y' a.0.b=1",
        ),
        ("headers.\"X Y\" = 'x'", "headers.X Y='x'"),
        ("a = 'it''s', b = ''", "a='it's' b=''"),
        (
            "a = 10, b = -1.5, c = true, d = 500ms, e = 64MiB, f = page-based",
            "a=10 b=-1.5 c=true d=500ms e=64MiB f=page-based",
        ),
        (
            "a = SECRET key, b = 'SECRET key', c = secret \"my key\", d = ' Secret k '",
            "a=secret:key b=secret:key c=secret:my key d=secret:k",
        ),
        (
            "a = 'SECRET a b', b = 'my SECRET x', c = 'secret'",
            "a='SECRET a b' b='my SECRET x' c='secret'",
        ),
        (
            "jq = $$ .a[] | {b: 'c;'} $$, q = $x$ $$ $x$",
            "jq=' .a[] | {b: 'c;'} ' q=' $$ '",
        ),
        (
            "jq = '.a[] | {b}; -- /* \" $$ (', url = 'http://x/?a=$b&c=${D:-e}'",
            "jq='.a[] | {b}; -- /* \" $$ (' url='http://x/?a=$b&c=${D:-e}'",
        ),
        (
            "a = 'x' -- a comment, with 'quotes'\n, /* b = 'y', */ c = 'z',",
            "a='x' c='z'",
        ),
        ("a = 'x\n  CREATE TABLE x'", "a='x\n  CREATE TABLE x'"),
    ];
    for (options, expected) in cases {
        let sql = format!("CREATE TABLE t (a INT) WITH ({options});");
        check(&sql, &format!("TABLE t (a: INT) with {expected}"));
    }
}

#[test]
fn views() {
    let cases = [
        ("CREATE VIEW v AS SELECT 1;", "VIEW v [SELECT 1]"),
        ("CREATE VIEW v AS FROM t -- the end\n;", "VIEW v [FROM t]"),
        (
            "CREATE OR REPLACE VIEW v AS WITH x AS (SELECT 1) FROM x",
            "VIEW or replace v [WITH x AS (SELECT 1) FROM x]",
        ),
        (
            "CREATE VIEW IF NOT EXISTS v AS (VALUES (1))",
            "VIEW if not exists v [(VALUES (1))]",
        ),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT ';', $$;$$, E'\\';', \";\" /* ; */ FROM t -- ;\nWHERE a",
            "MATERIALIZED VIEW v [SELECT ';', $$;$$, E'\\';', \";\" /* ; */ FROM t -- ;\nWHERE a]",
        ),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT ON WINDOW CLOSE",
            "MATERIALIZED VIEW v [SELECT 1] emit",
        ),
        (
            "CREATE VIEW v AS SELECT x->>'$.a', {'a': [1, 2]}, t.\"é\", ü, 1e5, a[1:2] FROM t",
            "VIEW v [SELECT x->>'$.a', {'a': [1, 2]}, t.\"é\", ü, 1e5, a[1:2] FROM t]",
        ),
        (
            "CREATE VIEW v AS SELECT 1 /* a /* nested ; */ comment ; */ + 2",
            "VIEW v [SELECT 1 /* a /* nested ; */ comment ; */ + 2]",
        ),
    ];
    for (sql, expected) in cases {
        check(sql, expected);
    }
}

#[test]
fn sinks() {
    let cases = [
        ("CREATE SINK s FROM v WITH (a = 1)", "SINK s v with a=1"),
        (
            "CREATE OR REPLACE SINK s FROM \"V x\" WITH (a = 1,)",
            "SINK or replace s V x with a=1",
        ),
        (
            "CREATE SINK s FROM (SELECT ')' FROM v) WITH (a = 1)",
            "SINK s [SELECT ')' FROM v] with a=1",
        ),
        (
            "CREATE SINK s FROM (FROM v EMIT ON WINDOW CLOSE) WITH ()",
            "SINK s [FROM v] emit with",
        ),
        (
            "CREATE SINK s FROM (FROM v) EMIT ON WINDOW CLOSE WITH ()",
            "SINK s [FROM v] emit with",
        ),
        (
            "CREATE SINK s AS SELECT a FROM v WITH (a = 1)",
            "SINK s [SELECT a FROM v] with a=1",
        ),
        (
            "CREATE SINK s AS WITH x AS (SELECT 1), y AS (WITH z AS (SELECT 2) FROM z) \
             SELECT * FROM x, y WITH (a = 1)",
            "SINK s [WITH x AS (SELECT 1), y AS (WITH z AS (SELECT 2) FROM z) \
             SELECT * FROM x, y] with a=1",
        ),
        (
            "CREATE SINK s AS SELECT * FROM unnest([1]) WITH ORDINALITY WITH (a = 1)",
            "SINK s [SELECT * FROM unnest([1]) WITH ORDINALITY] with a=1",
        ),
        (
            "CREATE SINK s AS SELECT x::TIMESTAMP WITH TIME ZONE FROM v EMIT ON WINDOW CLOSE WITH (a = 1)",
            "SINK s [SELECT x::TIMESTAMP WITH TIME ZONE FROM v] emit with a=1",
        ),
    ];
    for (sql, expected) in cases {
        check(sql, expected);
    }
}

#[test]
fn secrets() {
    let cases = [
        (
            "CREATE SECRET k WITH (backend = 'meta') AS 'it''s; x'",
            "SECRET k with backend='meta' 'it's; x'",
        ),
        (
            "CREATE SECRET IF NOT EXISTS k WITH (backend = env,) AS 'API_KEY';",
            "SECRET if not exists k with backend=env 'API_KEY'",
        ),
        (
            "CREATE SECRET k WITH (backend = 'meta') AS 'SECRET other'",
            "SECRET k with backend='meta' 'SECRET other'",
        ),
    ];
    for (sql, expected) in cases {
        check(sql, expected);
    }
}

#[test]
fn commands() {
    let cases = [
        ("DROP TABLE t", "drop TABLE t"),
        ("DROP SOURCE IF EXISTS t", "drop if exists SOURCE t"),
        ("DROP VIEW CASCADE t", "drop VIEW t cascade"),
        (
            "DROP MATERIALIZED VIEW t CASCADE",
            "drop MATERIALIZED VIEW t cascade",
        ),
        (
            "DROP SINK IF EXISTS CASCADE t",
            "drop if exists SINK t cascade",
        ),
        (
            "DROP SECRET CASCADE IF EXISTS \"t\"",
            "drop if exists SECRET t cascade",
        ),
        ("DROP TEMPORARY TABLE t", "drop TEMPORARY TABLE t"),
        ("DROP TABLE \"cascade\"", "drop TABLE cascade"),
        ("SHOW TABLES", "show Tables"),
        ("SHOW SOURCES", "show Sources"),
        ("SHOW VIEWS", "show Views"),
        ("show materialized views", "show MaterializedViews"),
        ("SHOW SINKS", "show Sinks"),
        ("SHOW SECRETS", "show Secrets"),
        ("SHOW LOOKUPS", "show Lookups"),
        ("SHOW ERRORS", "show Errors"),
        ("SHOW CREATE TABLE t", "show create Some(Table) t"),
        (
            "SHOW CREATE MATERIALIZED VIEW t",
            "show create Some(MaterializedView) t",
        ),
        ("SHOW CREATE TEMP TABLE t", "show create Some(Lookup) t"),
        ("SHOW CREATE t", "show create None t"),
        ("SHOW\nCREATE TABLE t", "show create Some(Table) t"),
        ("DESCRIBE t", "describe t"),
        ("DESC \"Source\"", "describe Source"),
        ("EXPLAIN SELECT 1", "explain [SELECT 1]"),
        ("SELECT 1", "query [SELECT 1]"),
        (
            "WITH x AS (SELECT 1) FROM x;",
            "query [WITH x AS (SELECT 1) FROM x]",
        ),
        ("FROM t", "query [FROM t]"),
        ("VALUES (1), (2)", "query [VALUES (1), (2)]"),
        (
            "(SELECT 1) UNION ALL (SELECT 2)",
            "query [(SELECT 1) UNION ALL (SELECT 2)]",
        ),
        ("SET a = 'b'", "set a='b'"),
        ("SET a.b TO 10", "set a.b=10"),
        ("SET a = on", "set a=on"),
        ("; ; -- nothing\n /* at all */ ;", ""),
        (
            "\u{feff}SELECT 1;\r\nSELECT 2",
            "query [SELECT 1]\nquery [SELECT 2]",
        ),
        ("", ""),
    ];
    for (sql, expected) in cases {
        check(sql, expected);
    }
}

#[test]
fn statement_span_leaves_out_the_semicolon_and_comments() {
    let (sources, parsed) = parse("-- a\nSELECT 1 -- b\n ; /* c */ DROP TABLE t;");
    let spans: Vec<&str> = (parsed.statements.iter())
        .map(|statement| sources.slice(statement.span))
        .collect();
    assert_eq!(spans, ["SELECT 1", "DROP TABLE t"]);
}

#[test]
fn spans_of_options_are_exact() {
    let sql = "CREATE TABLE t (a INT) WITH (headers.X-Key = 'SECRET key', b = SECRET k2, c = 1.5s)";
    let (sources, parsed) = parse(sql);
    let StatementKind::Create(create) = &parsed.statements[0].kind else {
        panic!("not a CREATE");
    };
    let Definition::Table(relation) = &create.definition else {
        panic!("not a TABLE");
    };
    assert_eq!(sources.slice(relation.columns_span), "(a INT)");
    assert!(sources.slice(relation.options.span).starts_with("(headers"));
    assert!(sources.slice(relation.options.span).ends_with("1.5s)"));
    let mut slices = Vec::new();
    for entry in &relation.options.entries {
        slices.push(sources.slice(entry.key.span));
        slices.push(sources.slice(entry.value.span));
        if let OptionValueKind::Secret(name) = &entry.value.kind {
            slices.push(sources.slice(name.span));
        }
    }
    let expected = [
        "headers.X-Key",
        "'SECRET key'",
        "key",
        "b",
        "SECRET k2",
        "k2",
        "c",
        "1.5s",
    ];
    assert_eq!(slices, expected);
}
