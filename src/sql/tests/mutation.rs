//! Whatever the text, the parser answers, and its places lie in the text.

use super::parse;
use crate::diagnostic::{SourceMap, Span};
use crate::sql::{Parsed, ends_statement, tokens};

const CASES: usize = 20_000;

const SEEDS: &[&str] = &[
    "CREATE OR REPLACE TABLE t (a INT NOT NULL, b DECIMAL(18,2) AS (f(a, ')')), ü STRUCT(x INT)[], \
     WATERMARK FOR a AS a - INTERVAL '5' SECOND, PRIMARY KEY (a, b,),) INCLUDE header 'h' AS h \
     WITH (connector = 'http', headers.X-Key = 'SECRET \"ké\"', n = 10ms, k = SECRET s,);\n\
     SHOW CREATE TABLE t;\n",
    "CREATE TEMP TABLE l ($p VARCHAR, c INT) WITH ('url' = $$ it's ; $p $$, \"q\" = 'it''s “é”');\n\
     CREATE SINK s AS WITH x AS (SELECT E'\\'' FROM l) SELECT \"é\"\"\", {'a': [1]} FROM x \
     EMIT ON WINDOW CLOSE WITH (a = -1.5);\n-- done\nDROP TABLE IF EXISTS CASCADE t;\n",
    "CREATE SECRET k WITH (backend = 'meta') AS 'ßecret';\nCREATE SINK s FROM (FROM v) WITH ();\n\
     /* a /* b */ */ SET a.b TO 'x'; EXPLAIN SELECT $t$ a $t$, .5e3; DESCRIBE \"t\"; SHOW ERRORS;\n\
     CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT ON WINDOW CLOSE;\n",
];

const SNIPPETS: &[&str] = &[
    "'",
    "\"",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "(",
    ")",
    "[",
    "]",
    "{",
    ";",
    ",",
    "=",
    "\n",
    "é",
    "“",
    "\nCREATE TABLE ",
    " WITH (",
    " SECRET ",
    "E'",
    "\\",
    "\0",
    " AS ",
    ".",
    "$",
    "\u{feff}",
];

fn boundary(random: &mut fastrand::Rng, text: &str) -> usize {
    let mut at = random.usize(..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn range(random: &mut fastrand::Rng, text: &str) -> std::ops::Range<usize> {
    let (a, b) = (boundary(random, text), boundary(random, text));
    // Mostly short ranges, so that much of the statement stays.
    let (start, mut end) = (a.min(b), a.max(b));
    if random.u8(..) < 200 {
        end = end.min(start + random.usize(..12));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
    }
    start..end
}

fn mutate(random: &mut fastrand::Rng, text: &mut String) {
    let first = range(random, text);
    match random.u8(..4) {
        0 => text.replace_range(first, ""),
        1 => {
            let piece = text[first].to_owned();
            let at = boundary(random, text);
            text.insert_str(at, &piece);
        }
        2 => {
            let piece = text[first.clone()].to_owned();
            text.replace_range(first, "");
            let at = boundary(random, text);
            text.insert_str(at, &piece);
        }
        _ => {
            let snippet = SNIPPETS[random.usize(..SNIPPETS.len())];
            text.insert_str(first.start, snippet);
        }
    }
}

fn assert_places(sources: &SourceMap, parsed: &Parsed) {
    let check = |span: Span| {
        assert!(span.start <= span.end);
        sources.slice(span);
    };
    for fault in &parsed.faults {
        check(fault.span);
        fault.labels.iter().for_each(|label| check(label.span));
        assert!(!fault.message.ends_with('.'));
    }
    for statement in &parsed.statements {
        check(statement.span);
        for text in super::raw_texts(statement) {
            assert_eq!(sources.slice(text.span), text.text);
        }
    }
    parsed.broken.iter().for_each(|name| check(name.span));
    for span in spans_in(&format!("{:?}", parsed.statements)) {
        let file = sources.files().next().unwrap();
        let (start, end) = span;
        check(Span { file, start, end });
    }
}

/// Finds every span in a debug print, so that no field of a statement is forgotten.
fn spans_in(debug: &str) -> Vec<(usize, usize)> {
    let number = |text: &str| {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text[..digits].parse().ok()
    };
    (debug.split("Span { file: FileId(0), start: ").skip(1))
        .filter_map(|rest| {
            let (_, end) = rest.split_once(", end: ")?;
            Some((number(rest)?, number(end)?))
        })
        .collect()
}

#[test]
fn any_text_is_answered() {
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut faulty = 0;
    for case in 0..CASES {
        let mut text = SEEDS[case % SEEDS.len()].to_owned();
        for _ in 0..random.usize(1..6) {
            mutate(&mut random, &mut text);
        }
        let (sources, parsed) = parse(&text);
        assert_places(&sources, &parsed);
        faulty += usize::from(!parsed.faults.is_empty());
        if case % 50 == 0 {
            sources.render(&parsed.faults);
            sources.render_json(&parsed.faults);
        }
        ends_statement(&text);
        let cut = tokens(&text);
        assert!(cut.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
    assert!(faulty > CASES / 2, "only {faulty} cases were faulty");
}

#[test]
fn seeds_are_clean() {
    for seed in SEEDS {
        let (sources, parsed) = parse(seed);
        assert!(
            parsed.faults.is_empty(),
            "{}",
            sources.render(&parsed.faults)
        );
        assert_places(&sources, &parsed);
    }
}
