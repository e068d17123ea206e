//! Tests of filters: what compiles, what is refused, and where.

mod ways;

use super::*;

fn fault(text: &str) -> (String, String) {
    let error = Filter::compile(text).unwrap_err();
    (text[error.start..error.end].to_owned(), error.message)
}

#[test]
fn a_syntax_error_points_at_the_smallest_culprit() {
    for (text, culprit, message) in [
        (".a | }", "}", "`}` means nothing here"),
        (".data[", "[", "`[` is not closed: expected closing bracket"),
        (".a == 'x'", "'", "texts are in double quotes in jq"),
        ("select(.a == 'x')", "'", "texts are in double quotes in jq"),
        (
            ".a | \"x",
            "\"",
            "`\"` is not closed: expected closing quote",
        ),
        (
            ".a |",
            "",
            "expected a filter such as `.a`, but the filter ends",
        ),
        ("{a: .b,, c}", ",", "expected a key, found `,`"),
        ("(.a | )", ")", "expected a filter such as `.a` before `)`"),
        (".a .b é", "é", "`é` means nothing here"),
        (
            "if .a then 1",
            "",
            "expected else or end, but the filter ends",
        ),
    ] {
        assert_eq!(
            fault(text),
            (culprit.to_owned(), message.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn an_undefined_name_is_pointed_at() {
    for (text, culprit, message) in [
        (".[] | foo", "foo", "`foo` is not defined"),
        (
            "map(.a | bar(1; 2))",
            "bar",
            "`bar` with 2 arguments is not defined",
        ),
        (". as $x | $y", "$y", "variable `$y` is not defined"),
    ] {
        assert_eq!(
            fault(text),
            (culprit.to_owned(), message.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn a_filter_is_sealed() {
    for (text, culprit) in [
        ("input", "input"),
        ("[inputs]", "inputs"),
        ("env.PATH", "env"),
        ("$ENV.PATH", "$ENV"),
        ("input_filename", "input_filename"),
        ("halt", "halt"),
        ("halt_error(1)", "halt_error"),
        ("debug", "debug"),
        ("stderr", "stderr"),
        ("now", "now"),
        ("localtime", "localtime"),
    ] {
        let (found, message) = fault(text);
        assert_eq!(found, culprit);
        assert!(message.contains("is not available: a filter"), "{message}");
    }
    assert!(Filter::compile("import \"a\" as a; .").is_err());
    assert!(Filter::compile("include \"a\"; .").is_err());
}

#[test]
fn a_definition_that_calls_itself_is_refused() {
    let (found, message) = fault("def f: 1 + f; f");
    assert_eq!(found, "f");
    assert!(message.contains("calls itself"));
    assert!(Filter::compile("def f(g): g | f(g); f(.)").is_err());
    assert!(Filter::compile("def f: def g: f; g; f").is_err());
    assert!(Filter::compile("def f: .a; def g: f + 1; f, g").is_ok());
    assert!(Filter::compile("def f: 1; def f: f + 1; f").is_err());
    assert!(Filter::compile("[recurse(if . < 3 then . + 1 else empty end)]").is_ok());
}

#[test]
fn huge_filters_are_refused() {
    for text in [
        "(".repeat(10_000),
        ".|".repeat(100_000),
        ".a".repeat(2_001),
        "[\"\\(1)\",".repeat(900),
    ] {
        assert!(Filter::compile(&text).is_err());
    }
}

#[test]
fn the_largest_filters_fit_the_stack() {
    let members: Vec<String> = (0..490).map(|number| format!("a{number}:.a")).collect();
    for text in [
        format!("{}.", ".|".repeat(990)),
        format!("{}[.]", "[.]|".repeat(490)),
        format!("1{}", "+1".repeat(990)),
        format!("1{}", ",1".repeat(990)),
        ".a".repeat(1_990),
        ".[0]".repeat(490),
        format!("{{{}}}", members.join(",")),
        format!("{}1{}", "[".repeat(64), "]".repeat(64)),
        format!("{}1", ". as $x | ".repeat(390)),
        format!("{}1", "try ".repeat(660)),
        format!("{}1", "- ".repeat(660)),
        format!("{}1{}", "if . then . else ".repeat(330), " end".repeat(330)),
    ] {
        let Ok(filter) = Filter::compile(&text) else {
            panic!("{text}")
        };
        let _ = filter.run("null", |_| Ok(())).unwrap();
    }
}

#[test]
fn a_run_away_filter_ends() {
    let filter = Filter::compile("range(0; 100000000) | empty, 1").unwrap();
    let error = filter.run("null", |_| Ok(())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the filter gives more than 10000000 outputs for one document"
    );
}

#[test]
fn common_shapes_are_extracted() {
    for text in [
        ".",
        ".[]",
        ".data",
        ".data.ticker[]",
        ".data.ticker[] | {symbol, buy, sell, vol}",
        ".[] | {time: .[0], open: .[1] | tonumber, \"x y\": .a.b[2].c, venue: \"kucoin\"}",
        ".a[0] | .b | .[]",
        ".\"odd key\".x",
        ".[\"k\"][][]",
        ".[] | {id: (.id | tostring)}",
        ".result | .[] | {v: .}",
    ] {
        assert_eq!(
            Filter::compile(text).unwrap().way(),
            Way::Extracted,
            "{text}"
        );
    }
    for text in [
        ".a?",
        ".data[]? | {a}",
        ".[] | select(.a)",
        ".[] | select(.a > 1 and (.b == \"x\" or (.c | not)))",
        ".[] | select(.e == \"trade\") | select(.q | tonumber > 0) | {s, p: .p | tonumber}",
        ".[-1]",
        ".[1:]",
        ".[1:][] | {a}",
        "(.data // [])[] | {a: (.a // .b // \"none\")}",
        "[.data[] | {a: .[0], b: [.[1], .[2]]}]",
        "map(select(.a != null)) | map({a, b: .b | tostring})",
        "[.[] | .a] | .[]",
        "{a: [.b[] | {c}], d: .e[-1].f}",
        "[.a, .b, 1]",
        ".[] | if .a then {a} else {a: .b} end",
        ".[] | {a: (.p * 100), b: (.q - 1)}",
        "{}",
        "1",
    ] {
        let filter = Filter::compile(text).unwrap();
        assert_eq!(filter.why_interpreted(), None, "{text}");
        assert_eq!(filter.way(), Way::Extracted, "{text}");
    }
}

#[test]
fn others_say_what_they_need_the_interpreter_for() {
    for (text, reason) in [
        ("{a, a: .b}", "the key `a` given twice"),
        (".[] | {(.k): .v}", "a computed key"),
        ("{a: .b[]}", "`[]` inside of a value"),
        ("to_entries[]", "`to_entries`"),
        (".a, .b", "`,` outside of `[…]`"),
        ("..", "`..`"),
        (". as $x | $x", "`as`"),
        ("reduce .[] as $x (0; . + $x)", "`reduce`"),
        ("def f: .a; f", "`def`"),
        (".[.a]", "a computed index"),
        (".[.a:]", "a computed bound of a slice"),
        ("(.a | tonumber)?", "`try` or `?`"),
        (".a = 1", "an assignment"),
        (".[] | {a: \"\\(.b)\"}", "a text with `\\(…)`"),
        (
            "map(.a) | length",
            "an array that is made in the middle of a pipe",
        ),
        (".[] | {a: (.b | ascii_downcase)}", "`ascii_downcase`"),
    ] {
        let filter = Filter::compile(text).unwrap();
        assert_eq!(filter.why_interpreted(), Some(reason), "{text}");
        assert_eq!(filter.way(), Way::Interpreted, "{text}");
    }
}

#[test]
fn a_filter_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    shared(&Filter::identity());
}
