//! Whole pipelines with the real binary: every type out and back, refused messages, groups.

use serde_json::{Value, json};

use crate::broker::{available, shared};
use crate::support::binary::{Omlsp, Output, Project};
use crate::support::registry::Registry;

/// A folder with one pipeline; `${KAFKA}` in it is a broker.
pub struct Pipeline {
    pub project: Project,
    env: Vec<(String, String)>,
}

impl Pipeline {
    pub fn new(server: &str, sql: &str) -> Self {
        let project = Project::new();
        project.file("pipeline.sql", sql);
        Self {
            project,
            env: vec![("KAFKA".to_owned(), server.to_owned())],
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Prepares `omlsp run pipeline.sql` with more arguments, over the state in the folder.
    pub fn run<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Omlsp {
        let args = ["run", "pipeline.sql"].into_iter().chain(more);
        let omlsp = self.project.omlsp(args);
        (self.env.iter()).fold(omlsp, |omlsp, (name, value)| omlsp.env(name, value))
    }

    /// Reads what there is, and ends.
    pub fn once(&self) -> Output {
        self.run(["--once"]).run().expect_code(0)
    }

    /// Returns the rows of a statement, from the run or from the state it left.
    pub fn sql(&self, statement: &str) -> Vec<Value> {
        let args = ["sql", "--format", "json", statement];
        self.project.omlsp(args).run().expect_code(0).json_lines()
    }

    /// Returns the only value of a statement that gives a number.
    pub fn number(&self, statement: &str) -> i64 {
        let rows = self.sql(statement);
        let row = rows.first().and_then(Value::as_object);
        let value = row.and_then(|row| row.values().next()?.as_i64());
        value.unwrap_or_else(|| panic!("{statement}: {rows:?}"))
    }

    /// Returns the row of an entity in what `SHOW` says of its kind.
    pub fn show(&self, kind: &str, name: &str) -> Value {
        let rows = self.sql(&format!("SHOW {kind}"));
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no `{name}` in {rows:?}"))
            .clone()
    }

    pub fn errors(&self) -> Vec<Value> {
        self.sql("SELECT entity, stage, message, payload FROM omlsp_errors ORDER BY time")
    }
}

/// Every type, each with a value at its edge, and a row of NULLs.
const TYPES: [(&str, &str, &str); 31] = [
    ("yes", "BOOLEAN", "true"),
    ("i8", "TINYINT", "-128"),
    ("i16", "SMALLINT", "-32768"),
    ("i32", "INTEGER", "-2147483648"),
    ("i64", "BIGINT", "-9223372036854775808"),
    ("i128", "HUGEINT", "-99999999999999999999999999999999999999"),
    ("u8", "UTINYINT", "255"),
    ("u16", "USMALLINT", "65535"),
    ("u32", "UINTEGER", "4294967295"),
    ("u64", "UBIGINT", "18446744073709551615"),
    ("f32", "FLOAT", "42576.504"),
    ("f64", "DOUBLE", "0.1"),
    ("small", "DECIMAL(4,1)", "-999.9"),
    ("price", "DECIMAL(18,4)", "-12345678901234.5678"),
    (
        "large",
        "DECIMAL(38,10)",
        "1234567890123456789012345678.0123456789",
    ),
    ("word", "VARCHAR", "'line' || chr(10) || '\"break\" ü🦀'"),
    ("raw", "BLOB", "'\\x00\\xFFA'::BLOB"),
    ("day", "DATE", "'2024-01-02'"),
    ("clock", "TIME", "'01:02:03.000004'"),
    ("at_s", "TIMESTAMP_S", "'2024-01-02 03:04:05'"),
    ("at_ms", "TIMESTAMP_MS", "'2024-01-02 03:04:05.678'"),
    ("at_us", "TIMESTAMP", "'1969-12-31 23:59:59.999999'"),
    ("at_ns", "TIMESTAMP_NS", "'2024-01-02 03:04:05.678901234'"),
    ("span", "INTERVAL", "INTERVAL '1 month 2 days 3 seconds'"),
    ("id", "UUID", "'550e8400-e29b-41d4-a716-446655440000'"),
    ("mood", "ENUM('low', 'high')", "'high'"),
    ("doc", "JSON", "'{\"a\":[1,null]}'"),
    ("tags", "VARCHAR[]", "['a', NULL, 'b']"),
    ("point", "DOUBLE[2]", "[1.5, -2.5]"),
    ("counts", "MAP(VARCHAR, INTEGER)", "MAP {'x y': -3}"),
    (
        "inner_row",
        "STRUCT(n BIGINT, \"at\" TIMESTAMP, list STRUCT(p DECIMAL(9,2))[])",
        "{'n': 7, 'at': TIMESTAMP '2024-01-02 03:04:05', 'list': [{'p': 1.25}]}",
    ),
];

/// A table of both rows.
fn made() -> String {
    let columns = TYPES.map(|(name, sql_type, value)| {
        format!(", {name} {sql_type} AS (CASE WHEN n = 0 THEN ({value})::{sql_type} END)")
    });
    format!(
        "CREATE TABLE made (n BIGINT{}) WITH (connector = 'generate', rows = 2);",
        columns.concat()
    )
}

/// A table of the same columns that reads a topic.
fn back(topic: &str, with: &str) -> String {
    let columns = TYPES.map(|(name, sql_type, _)| format!(", {name} {sql_type}"));
    format!(
        "CREATE TABLE back (n BIGINT{}) WITH (connector = 'kafka', server = '${{KAFKA}}', topic = '{topic}', {with});",
        columns.concat()
    )
}

/// Asserts that what came back is what was there, by DuckDB's own comparison, and returns what the
/// independent client read.
fn round_trip(topic: &str, with: &str, registry: Option<&str>) -> Vec<Value> {
    let broker = shared();
    broker.peer("topic", topic, &["1"], "");
    let run = |sql: &str| {
        let pipeline = Pipeline::new(&broker.server(), &format!("{}\n{sql}", made()));
        let pipeline = pipeline.env("REGISTRY", registry.unwrap_or_default());
        pipeline.once();
        assert_eq!(pipeline.errors(), [Value::Null; 0]);
        pipeline
    };
    run(&format!(
        "CREATE SINK out FROM made WITH (connector = 'kafka', server = '${{KAFKA}}', topic = '{topic}', {with});"
    ));
    let both = run(&back(topic, with));
    // JSON has no bytes: they go out as base64 and come in as text.
    let raw = if registry.is_some() {
        "raw"
    } else {
        "from_base64(raw::VARCHAR)"
    };
    let back = format!("(SELECT * REPLACE ({raw} AS raw) FROM back)");
    for (left, right) in [("made", back.as_str()), (back.as_str(), "made")] {
        let only = both.sql(&format!("FROM {left} EXCEPT ALL FROM {right}"));
        assert!(only.is_empty(), "only in {left}: {only:#?}");
    }
    let arguments: Vec<&str> = ["2"].into_iter().chain(registry).collect();
    broker.peer("consume", topic, &arguments, "")
}

#[test]
fn every_type_comes_back_from_json_as_it_was() {
    if !available() {
        return;
    }
    let seen = round_trip("product-json", "encode = 'json'", None);
    let texts: Vec<&str> = (seen.iter())
        .map(|message| message["value"].as_str().unwrap())
        .collect();
    // As texts, since numbers of that many digits would not survive this test's parser.
    let expected = concat!(
        r#"{"n":0,"yes":true,"i8":-128,"i16":-32768,"i32":-2147483648,"i64":-9223372036854775808,"#,
        r#""i128":-99999999999999999999999999999999999999,"u8":255,"u16":65535,"u32":4294967295,"#,
        r#""u64":18446744073709551615,"f32":42576.504,"f64":0.1,"#,
        r#""small":-999.9,"price":-12345678901234.5678,"large":1234567890123456789012345678.0123456789,"#,
        r#""word":"line\n\"break\" ü🦀","raw":"#
    );
    assert!(texts[0].starts_with(expected), "{}", texts[0]);
    let value: Value = serde_json::from_str(texts[0]).unwrap();
    let instants = ["day", "clock", "at_s", "at_ms", "at_us", "at_ns"].map(|name| &value[name]);
    assert_eq!(
        instants,
        [
            "2024-01-02",
            "01:02:03.000004",
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05.678Z",
            "1969-12-31T23:59:59.999999Z",
            "2024-01-02T03:04:05.678901234Z",
        ]
    );
    let nested = ["doc", "tags", "point", "counts", "inner_row"].map(|name| &value[name]);
    assert_eq!(
        nested,
        [
            &json!({"a": [1, null]}),
            &json!(["a", null, "b"]),
            &json!([1.5, -2.5]),
            &json!({"x y": -3}),
            &json!({"n": 7, "at": "2024-01-02T03:04:05Z", "list": [{"p": 1.25}]}),
        ]
    );
    let empty: Value = serde_json::from_str(texts[1]).unwrap();
    assert_eq!(not_null(&empty), ["n"]);
}

/// Returns the names of the members that have a value.
fn not_null(row: &Value) -> Vec<&str> {
    let members = row.as_object().expect("a row is an object").iter();
    let valued = members.filter(|(_, value)| !value.is_null());
    valued.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn every_type_comes_back_from_avro_as_it_was() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    let with = "encode = 'avro', registry = '${REGISTRY}'";
    let seen = round_trip("product-avro", with, Some(&registry.url()));
    let (value, empty) = (&seen[0]["value"], &seen[1]["value"]);
    let expected = json!({
        "n": 0, "yes": true, "i8": -128, "i16": -32768, "i32": i32::MIN, "i64": i64::MIN,
        "u8": 255, "u16": 65535, "u32": 4_294_967_295_u32, "f64": 0.1, "small": "-999.9",
        "price": "-12345678901234.5678", "large": "1234567890123456789012345678.0123456789",
        "word": "line\n\"break\" ü🦀", "raw": "00ff41", "day": "2024-01-02", "clock": "01:02:03.000004",
        "at_s": "2024-01-02 03:04:05+00:00", "at_ms": "2024-01-02 03:04:05.678000+00:00",
        "at_us": "1969-12-31 23:59:59.999999+00:00", "at_ns": 1_704_164_645_678_901_234_i64,
        "id": "550e8400-e29b-41d4-a716-446655440000", "mood": "high", "tags": ["a", null, "b"],
        "point": [1.5, -2.5], "counts": {"x y": -3},
        "inner_row": {"n": 7, "at": "2024-01-02 03:04:05+00:00", "list": [{"p": "1.25"}]},
    });
    for (name, expected) in expected.as_object().unwrap() {
        assert_eq!(&value[name], expected, "{name}");
    }
    assert_eq!(not_null(empty), ["n"]);
}

#[test]
fn a_message_that_is_too_large_is_one_error_and_the_sink_goes_on() {
    if !available() {
        return;
    }
    let broker = shared();
    broker.peer(
        "topic",
        "product-large",
        &["1", "max.message.bytes=20000"],
        "",
    );
    let sql = "CREATE TABLE made (n BIGINT, pad VARCHAR AS (repeat('x', CASE WHEN n = 500 THEN 50000 ELSE 10 END)))
            WITH (connector = 'generate', rows = 1000);
        CREATE SINK out FROM made WITH (
            connector = 'kafka', server = '${KAFKA}', topic = 'product-large', compression = 'none');";
    let pipeline = Pipeline::new(&broker.server(), sql);
    let output = pipeline.run(["--once"]).run();
    let errors = pipeline.errors();
    let refused: Vec<&Value> = (errors.iter())
        .filter(|error| {
            error["payload"]
                .as_str()
                .is_some_and(|payload| payload.contains("\"n\":500"))
        })
        .collect();
    assert_eq!(refused.len(), 1, "{errors:#?}\n{output}");
    assert_eq!(
        (&refused[0]["entity"], &refused[0]["stage"]),
        (&json!("out"), &json!("write"))
    );
    assert!(
        refused[0]["message"]
            .as_str()
            .unwrap()
            .contains("too large"),
        "{refused:?}"
    );
    // A later run has nothing left to send.
    pipeline.once();
    assert_eq!(pipeline.errors().len(), errors.len());
    let mut numbers: Vec<i64> = (broker.peer("consume", "product-large", &["all"], "").iter())
        .map(|message| {
            serde_json::from_str::<Value>(message["value"].as_str().unwrap()).unwrap()["n"]
                .as_i64()
                .unwrap()
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.into_iter().eq((0..1000).filter(|n| *n != 500)));
}
