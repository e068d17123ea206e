//! A plan gives what the interpreter gives, output by output, or gives up.

use super::super::split::Split;
use super::super::walk::Sink;
use super::super::{Filter, Halt, write_object};
use crate::format::scan::Cursor;
use crate::format::testing::{Documents, Filters};
use crate::format::value::{Value, without_lone_surrogates, write_val};

/// Keeps the outputs as compact JSON.
struct Outputs(Vec<String>);

impl Sink for Outputs {
    type Part = Self;

    fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        let mut text = String::new();
        Value::of(cursor.value()?).write(&mut text);
        self.0.push(text);
        Ok(())
    }

    fn object<'v>(
        &mut self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
    ) -> Result<(), Halt> {
        let mut text = String::new();
        write_object(names, value_of, &mut text);
        self.0.push(text);
        Ok(())
    }
}

/// Runs a filter's plan: its outputs, or nothing where it gives up.
fn extracted(filter: &Filter, document: &str) -> Option<Vec<String>> {
    let mut plan = filter.plan()?.clone();
    let mut outputs = Outputs(Vec::new());
    match plan.run(&mut Cursor::new(document), &mut outputs, Split::NONE) {
        Ok(()) if plan.listed => Some(vec![format!("[{}]", outputs.0.join(","))]),
        Ok(()) => Some(outputs.0),
        Err(Halt::Unexpected) => None,
        Err(Halt::Fault(fault)) => panic!("{}", fault.describe(document)),
    }
}

/// Runs it in the interpreter: its outputs, and the error after them.
fn interpreted(filter: &Filter, document: &str) -> (Vec<String>, Result<(), String>) {
    let mut outputs = Vec::new();
    let end = filter.run(&without_lone_surrogates(document), |output| {
        let mut text = String::new();
        write_val(output, &mut text)?;
        outputs.push(text);
        Ok(())
    });
    (outputs, end.unwrap())
}

#[derive(Default, Debug)]
struct Counts {
    cases: usize,
    answered: usize,
    outputs: usize,
    errors: usize,
    /// The interpreter gave an answer where the plan gave up.
    given_up: usize,
}

fn compare(text: &str, document: &str, counts: &mut Counts) {
    let filter = Filter::compile(text).unwrap();
    compare_filter(&filter, document, counts);
}

fn compare_filter(filter: &Filter, document: &str, counts: &mut Counts) {
    let (outputs, end) = interpreted(filter, document);
    counts.cases += 1;
    match (extracted(filter, document), end) {
        (Some(mine), Ok(())) => {
            assert_eq!(mine, outputs, "{} on {document}", filter.text());
            counts.answered += 1;
            counts.outputs += outputs.len();
        }
        (Some(mine), Err(error)) => {
            panic!(
                "{} on {document}: {mine:?}, but {outputs:?} and {error}",
                filter.text()
            )
        }
        (None, Ok(())) => counts.given_up += 1,
        (None, Err(_)) => counts.errors += 1,
    }
}

#[test]
fn generated_filters_on_generated_documents() {
    let (mut documents, mut filters) = (Documents::new(20_260_101), Filters::new(99));
    let mut counts = Counts::default();
    for _ in 0..1_500 {
        let text = filters.filter();
        let filter = Filter::compile(&text).unwrap();
        if filter.plan().is_none() {
            continue;
        }
        for _ in 0..20 {
            compare_filter(&filter, &documents.document(), &mut counts);
        }
    }
    // Most filters have a plan, many cases an answer, and many an error. A plan gives up in vain mostly where a
    // document has a key twice, which every other one here has.
    assert!(
        counts.cases > 25_000
            && counts.answered > 5_000
            && counts.outputs > 4_000
            && counts.errors > 5_000
            && counts.given_up * 6 < counts.answered,
        "{counts:?}"
    );
}

/// What differs between implementations of jq, one by one.
#[test]
fn corners() {
    let documents = [
        "null",
        "[]",
        "{}",
        r#"{"a":{"b":[1,2,3],"b":[4,5]},"a":{"c":"x"}}"#,
        r#"[{"a":1},{"a":"1"},{"a":null},{"a":[1]},{"b":1}]"#,
        r#"{"a":"12","b":"1e3","c":"0x10","d":" 7"}"#,
        r#"{"a":"","b":"-0","c":-0,"d":-0.0}"#,
        r#"{"a":123456789012345678901234567890,"b":123456789012345678901234567891}"#,
        r#"{"a":9007199254740993,"b":9007199254740992.0,"c":9007199254740993.0}"#,
        r#"{"a":0.1,"b":0.10,"c":1e-1,"d":1E400}"#,
        r#"{"a":"\u00e9","b":"é","c":"\ud800","d":"\ufffd"}"#,
        r#"{"a":"NaN","b":"Infinity","c":"nan","d":"true"}"#,
        r#"{"a":[1,[2,{"c":3}]],"b":[1,[2,{"c":3}]],"c":{"x":1,"y":2},"d":{"y":2,"x":1}}"#,
        r#"{"a":false,"b":0,"c":"","d":[]}"#,
        r#"{"a":"\u007f\u0000/","b":["\u007f"],"c":{"\u0061":"\/"}}"#,
    ];
    let filters = [
        ".a",
        ".a.b[-1]",
        ".a.b?",
        ".[]?",
        ".[] | .a?",
        "[.[]? | .a?]",
        "{a: .a?}",
        "[.a?, .b?, .c]",
        ".a[1:]?",
        ".a[0:1]",
        ".a[:-1]",
        ".b[-9:9]",
        ".a // .b // \"none\"",
        "(.a | tonumber) // 0",
        "[.a, .b, .c, .d | tonumber]",
        ".a | tonumber",
        ".b | tonumber",
        ".c | tonumber",
        ".d | tonumber",
        ".a | tostring",
        ".c | tostring",
        ".d | tostring",
        "tostring",
        "[.[] | tostring]",
        ".a == .b",
        ".a < .b",
        ".b == .c",
        ".a >= .c",
        ".c == .d",
        ".c < .d",
        "[.[] | . > 0]",
        "[.[] | . == -0]",
        "select(.a)",
        "select(.a and .b)",
        "select(.a or error)",
        ".a or .b",
        ".d and .c",
        ".a | not",
        "map(select(. != null))",
        "map(.a) | .[]",
        "[[.[] | .a?]]",
        "[.[]] | map(tostring)",
        "if .a then .b end",
        "if .a == .b then 1 elif .c then 2 else 3 end",
        ".a + .b",
        ".b - 1",
        ".a / 0",
        ".a % 0",
        ".d + 0",
        "{a: .a, b: (.b | select(. != null))}",
        "{a: empty}",
        "[empty, 1]",
        "{\"\\u0061\": 1} | .a",
        "{a: .a} | .a.b",
    ];
    let mut counts = Counts::default();
    for filter in filters {
        for document in documents {
            compare(filter, document, &mut counts);
        }
    }
    assert_eq!(counts.cases, filters.len() * documents.len());
    assert!(counts.answered > 350 && counts.errors > 100, "{counts:?}");
}
