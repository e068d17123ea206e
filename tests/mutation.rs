//! No text makes the front half panic: mutated pipeline files are parsed, put into a catalog, bound and
//! rendered. What a fuzzer does at length (`fuzz/`), with a seed and a bound.

use std::path::Path;

use omlsp::catalog::Catalog;
use omlsp::diagnostic::SourceMap;
use omlsp::options::Environment;
use omlsp::plan;
use omlsp::sql::add_source;

/// Mutated files that are parsed and put into a catalog.
const CASES: usize = 100_000;

/// One in so many is bound by the engine too, which takes a thousand times as long.
const BOUND_EVERY: usize = 200;

/// What is put into a text: what begins or ends something, and words that mean something.
const SNIPPETS: &[&str] = &[
    "'",
    "\"",
    "$$",
    "/*",
    "*/",
    "--",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ";",
    ",",
    "=",
    ".",
    "$",
    "${",
    "${X:-",
    "\n",
    "\0",
    "é",
    "“",
    "\u{feff}",
    "\u{202e}",
    "9999999999999999999",
    "-1",
    "1e400",
    "NULL",
    "SECRET ",
    " CREATE TABLE ",
    " WITH (",
    " AS (",
    " UNION ALL ",
    " SELECT * FROM ",
    " GROUP BY ALL ",
    " JOIN ",
    " LEFT JOIN ",
    " OVER () ",
    "TRIGGER_TIME()",
    " STRUCT(a INT)[] ",
    " DECIMAL(99,99) ",
    "*/0 * * * *",
    "0s",
    "99999999999h",
    ".[]",
    ".a | .b[",
    "$symbol",
    "%zz",
    "http://[",
    "\\u0000",
];

/// Makes one file of each seed number, always the same.
struct Mutator<'s> {
    random: fastrand::Rng,
    seeds: &'s [String],
}

/// Returns the pipelines of the repository and the manual of the dialect.
fn seeds() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Vec::new();
    for folder in [
        "pipelines",
        "tests/dialect/accept",
        "tests/dialect/commands",
    ] {
        let entries = std::fs::read_dir(root.join(folder)).expect("the folder can be read");
        for entry in entries {
            let path = entry.expect("the folder stays readable").path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                seeds.push(std::fs::read_to_string(path).expect("the file can be read"));
            }
        }
    }
    seeds.sort();
    assert!(seeds.len() > 25, "{} seeds", seeds.len());
    seeds
}

impl Mutator<'_> {
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.random.usize(..=text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// Mostly a short piece of a text, so that much of the statement around it stays.
    fn piece(&mut self, text: &str) -> std::ops::Range<usize> {
        let start = self.place(text);
        let length_max = if self.random.u8(..) < 220 { 12 } else { 2_000 };
        let mut end = text.len().min(start + self.random.usize(..length_max));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        start..end.max(start)
    }

    fn next(&mut self) -> String {
        let seed = self.random.usize(..self.seeds.len());
        let mut text = self.seeds[seed].clone();
        for _ in 0..self.random.usize(1..6) {
            let piece = self.piece(&text);
            match self.random.u8(..5) {
                0 => text.replace_range(piece, ""),
                1 => {
                    let copy = text[piece].to_owned();
                    let at = self.place(&text);
                    text.insert_str(at, &copy);
                }
                2 => {
                    let other = self.random.usize(..self.seeds.len());
                    let other = self.seeds[other].clone();
                    let stolen = self.piece(&other);
                    text.insert_str(piece.start, &other[stolen]);
                }
                3 => {
                    let snippet = SNIPPETS[self.random.usize(..SNIPPETS.len())];
                    text.replace_range(piece, snippet);
                }
                _ => {
                    let snippet = SNIPPETS[self.random.usize(..SNIPPETS.len())];
                    text.insert_str(piece.start, snippet);
                }
            }
        }
        text
    }
}

/// Does what `omlsp validate` does; returns how many faults were found.
fn check(text: &str, bind: bool) -> usize {
    let mut sources = SourceMap::default();
    add_source(&mut sources, "input.sql", text);
    let (catalog, faults) = Catalog::of_files(&sources);
    let faults = if bind {
        let environment = Environment::default();
        plan::check(&catalog, &environment, faults)
            .expect("the engine opens")
            .faults
    } else {
        faults
    };
    if bind || text.len().is_multiple_of(64) {
        let told = sources.render(&faults);
        sources.render_json(&faults);
        assert_eq!(told.is_empty(), faults.is_empty());
    }
    faults.len()
}

/// Runs every `step`th case from `first` on; returns how many of them were faulty.
fn run(seeds: &[String], first: usize, step: usize) -> usize {
    let mut faulty = 0;
    for case in (first..CASES).step_by(step) {
        let mut mutator = Mutator {
            random: fastrand::Rng::with_seed(case as u64),
            seeds,
        };
        let text = mutator.next();
        let found = std::panic::catch_unwind(|| check(&text, case % BOUND_EVERY == 0))
            .unwrap_or_else(|_| panic!("case {case} panicked:\n{text}"));
        faulty += usize::from(found > 0);
    }
    faulty
}

#[test]
fn no_text_makes_it_panic() {
    let seeds = seeds();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let faulty: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                let seeds = &seeds;
                scope.spawn(move || run(seeds, first, threads))
            })
            .collect();
        let faulty = workers.into_iter().map(|worker| worker.join());
        faulty
            .map(|faulty| faulty.expect("the message above says which case it was"))
            .sum()
    });
    // Texts that are all fine, or all refused at the first word, would test little.
    assert!(faulty > CASES / 4 && faulty < CASES, "{faulty} faulty");
}

#[test]
fn texts_of_great_depth_and_length_are_answered() {
    let deep = 100_000;
    for text in [
        format!(
            "CREATE VIEW v AS SELECT {}1{};",
            "(".repeat(deep),
            ")".repeat(deep)
        ),
        format!(
            "CREATE VIEW v AS SELECT {}1{};",
            "[".repeat(deep),
            "]".repeat(deep)
        ),
        format!("CREATE VIEW v AS SELECT {}1;", "- ".repeat(deep)),
        format!("CREATE VIEW v AS SELECT 1{};", " + 1".repeat(deep)),
        format!(
            "CREATE VIEW v AS {}SELECT 1{};",
            "SELECT * FROM (".repeat(1_000),
            ")".repeat(1_000)
        ),
        format!(
            "CREATE VIEW v AS SELECT 1{};",
            " UNION ALL SELECT 1".repeat(5_000)
        ),
        format!(
            "CREATE TABLE t (a {}INT{}) WITH (connector = 'generate');",
            "STRUCT(a ".repeat(deep),
            ")".repeat(deep)
        ),
        format!(
            "CREATE TABLE t (a INT{}) WITH (connector = 'generate');",
            "[]".repeat(deep)
        ),
        format!(
            "CREATE TABLE t (a INT AS ({}1{})) WITH (connector = 'generate');",
            "abs(".repeat(deep),
            ")".repeat(deep)
        ),
        format!(
            "CREATE TABLE {} (a INT) WITH (connector = 'generate');",
            "n".repeat(1_000_000)
        ),
        format!(
            "CREATE SOURCE t (a INT) WITH (connector = 'http', url = 'http://x', interval = '1s', jq = '{}');",
            "[".repeat(deep)
        ),
        format!("/*{}", "/*".repeat(deep)),
        "(".repeat(deep),
        "\0".repeat(deep),
    ] {
        // What is said matters less than that something is.
        check(&text, true);
    }
}
