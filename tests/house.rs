//! The rules of the house, held by a test: who may import whom, how long a file and a function may be, and
//! what no product code does. `docs/architecture.md` says why.

use std::path::{Path, PathBuf};

/// A file that needs more is two files.
const FILE_LINES_MAX: usize = 600;

/// A function that needs more has a part with a name of its own.
const FUNCTION_LINES_MAX: usize = 70;

/// Words of crates, and the places in `src/` that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("duckdb", &["engine/", "batch.rs"]),
    // The schema registry of Kafka speaks HTTP.
    (
        "ureq",
        &[
            "connector/addresses.rs",
            "connector/agents.rs",
            "connector/http/",
            "connector/kafka/",
        ],
    ),
    ("rdkafka", &["connector/kafka/"]),
    ("tungstenite", &["connector/ws/"]),
    ("async_tungstenite", &["connector/ws/"]),
    ("smol", &["runtime/", "server/", "connector/ws/"]),
    ("async_channel", &["runtime/", "server/", "connector/ws/"]),
];

struct Source {
    /// From `src/` on.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let path = &self.path;
        path.contains("tests/") || path.ends_with("tests.rs") || path.ends_with("testing.rs")
    }

    /// Returns the lines that are product code with their numbers: without comments and inline tests.
    fn code(&self) -> Vec<(usize, &str)> {
        if self.is_test() {
            return Vec::new();
        }
        let product = self
            .text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or("");
        let lines = product.lines().enumerate();
        let lines = lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")));
        lines.filter(|(_, line)| !line.trim().is_empty()).collect()
    }

    /// Returns the first part of its path: its module.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or("");
        first.trim_end_matches(".rs")
    }
}

fn sources() -> Vec<Source> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the folder stays readable").path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| Source {
        text: std::fs::read_to_string(&path).expect("the file can be read"),
        path: path
            .strip_prefix(&root)
            .expect("it is below")
            .display()
            .to_string(),
    };
    files.into_iter().map(read).collect()
}

/// Returns the words of a line: names, with `::` between their parts left as a boundary.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Removes the contents of texts in double quotes, roughly: enough for lines of formatted code.
fn without_texts(line: &str) -> String {
    let pieces = line.split('"').enumerate();
    let outside = pieces.filter(|(number, _)| number % 2 == 0);
    outside
        .map(|(_, piece)| piece)
        .collect::<Vec<_>>()
        .join("\"\"")
}

fn report(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Returns the modules in the order of the map in `lib.rs`.
fn map() -> Vec<String> {
    let sources = sources();
    let lib = sources.iter().find(|source| source.path == "lib.rs");
    let lines = lib.expect("there is a library").text.lines();
    let names = lines.filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

#[test]
fn imports_point_up_the_map() {
    let map = map();
    assert!(map.len() >= 12, "{map:?}");
    let place = |module: &str| map.iter().position(|known| known == module);
    let mut found = Vec::new();
    for source in sources() {
        let Some(own) = place(source.module()) else {
            continue;
        };
        for (number, line) in source.code() {
            for rest in line.split("crate::").skip(1) {
                let used = words(rest).next().unwrap_or("");
                let below = place(used).is_some_and(|used| used > own);
                let engine = source.module() == "connector" && used == "engine";
                if below || engine {
                    found.push(format!("src/{}:{number} uses {used}", source.path));
                }
            }
        }
    }
    report(
        "imports that point down the map of lib.rs, or from a connector to the engine",
        &found,
    );
}

#[test]
fn every_module_is_on_the_map() {
    let map = map();
    let missing: Vec<String> = (sources().iter())
        .map(Source::module)
        .filter(|module| {
            !["lib", "main"].contains(module) && !map.iter().any(|known| known == module)
        })
        .map(str::to_owned)
        .collect();
    report("modules without a line in lib.rs", &missing);
}

#[test]
fn outside_crates_stay_in_their_modules() {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            let line = without_texts(line);
            for (name, places) in CRATES {
                let allowed = places.iter().any(|place| source.path.starts_with(place));
                if !allowed && words(&line).any(|word| word == *name) {
                    found.push(format!("src/{}:{number} names {name}", source.path));
                }
            }
        }
    }
    report("crates named outside of their modules", &found);
}

#[test]
fn only_the_command_line_and_the_stdout_sink_print() {
    let mut found = Vec::new();
    for source in sources() {
        let prints = source.path.starts_with("cli/") || source.path.starts_with("connector/stdout");
        for (number, line) in source.code() {
            if !prints && ["println!", "print!"].iter().any(|call| calls(line, call)) {
                found.push(format!("src/{}:{number}", source.path));
            }
        }
    }
    report("writes to stdout", &found);
}

/// Says whether a line calls exactly this macro: `eprintln!` is another one than `println!`.
fn calls(line: &str, call: &str) -> bool {
    let mut found = line.match_indices(call);
    found.any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn product_code_does_not_unwrap() {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            if line.contains(".unwrap()")
                || line.contains("todo!(")
                || line.contains("unimplemented!(")
            {
                found.push(format!("src/{}:{number} {}", source.path, line.trim()));
            }
        }
    }
    report(
        "`unwrap`, `todo!` and `unimplemented!` outside of tests",
        &found,
    );
}

#[test]
fn files_say_what_they_do_and_are_short() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            found.push(format!("src/{} does not open with `//!`", source.path));
        }
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("src/{} has {lines} lines", source.path));
        }
    }
    report("files", &found);
}

#[test]
fn functions_are_short() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let head = code.split('(').next().unwrap_or("");
            let is_function = !code.starts_with("//") && words(head).any(|word| word == "fn");
            if !is_function || code.ends_with(';') || head.contains(['"', '|', '=', ':']) {
                continue;
            }
            // Formatted code closes a function where it opened it.
            let indent = &line[..line.len() - code.len()];
            let end = format!("{indent}}}");
            // A declaration without a body ends in the line of its closing parenthesis.
            let declared = format!("{indent})");
            let is_end =
                |line: &&str| **line == *end || line.starts_with(&declared) && line.ends_with(';');
            let length = lines[number..].iter().position(is_end);
            if let Some(length) = length
                .map(|length| length + 1)
                .filter(|length| *length > FUNCTION_LINES_MAX)
            {
                found.push(format!(
                    "src/{}:{} has {length} lines: {head}",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    report("functions that are too long", &found);
}
