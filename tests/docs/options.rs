//! `docs/options.md`: every option of the code stands there, and everything that stands there is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::support::binary::Project;

/// One row of a table.
struct Option {
    section: String,
    key: String,
    default: std::option::Option<String>,
    example: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the rows of all tables of options.
fn documented() -> Vec<Option> {
    let text = std::fs::read_to_string(root().join("docs/options.md")).expect("it is there");
    let mut section = String::new();
    let mut options = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        // A `|` in an example is escaped for the table.
        let line = line.replace("\\|", "\u{0}");
        let cells: Vec<String> = (line.split('|'))
            .map(|cell| cell.trim().replace('\u{0}', "|"))
            .collect();
        let [_, key, default, example, meaning, _] = cells.as_slice() else {
            continue;
        };
        let Some(key) = code(key) else {
            continue;
        };
        assert!(!meaning.is_empty(), "`{key}` has no meaning");
        let example =
            code(example).unwrap_or_else(|| panic!("`{key}` of {section} has no example"));
        options.push(Option {
            section: section.clone(),
            key,
            default: code(default),
            example,
        });
    }
    options
}

fn code(cell: &str) -> std::option::Option<String> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(inner.to_owned())
}

/// Splits `a = '1', b = 2` into keys and values; a comma within quotes is part of the value.
fn assignments(text: &str) -> Vec<(String, String)> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '\'';
        if c == ',' && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let split = |part: String| {
        let (key, value) = part
            .split_once('=')
            .unwrap_or_else(|| panic!("no `=` in `{part}`"));
        (key.trim().to_owned(), value.trim().to_owned())
    };
    parts.into_iter().map(split).collect()
}

/// Returns a statement that gives these options, completed by what its section needs anyway.
fn statement(section: &str, name: &str, options: &[(String, String)]) -> String {
    let (head, needed): (String, &[(&str, &str)]) = match section {
        "`http`: TABLE or SOURCE" => (
            format!("CREATE TABLE {name} (id BIGINT, symbol STRING)"),
            &[
                ("connector", "'http'"),
                ("url", "'http://127.0.0.1/'"),
                ("interval", "'1h'"),
            ],
        ),
        "`lookup-http`: TEMPORARY TABLE" => (
            format!("CREATE TEMPORARY TABLE {name} ($id BIGINT, price DOUBLE)"),
            &[
                ("connector", "'lookup-http'"),
                ("url", "'http://127.0.0.1/$id'"),
            ],
        ),
        "`http`: SINK" => (
            format!("CREATE SINK {name} FROM base"),
            &[("connector", "'http'"), ("url", "'http://127.0.0.1/'")],
        ),
        "`ws`: TABLE or SOURCE" => (
            format!("CREATE SOURCE {name} (id BIGINT)"),
            &[("connector", "'ws'"), ("url", "'ws://127.0.0.1/'")],
        ),
        "`kafka`: TABLE or SOURCE" => (
            format!("CREATE TABLE {name} (id BIGINT)"),
            &[
                ("connector", "'kafka'"),
                ("topic", "'t'"),
                ("server", "'127.0.0.1:9092'"),
            ],
        ),
        "`kafka`: SINK" => (
            format!("CREATE SINK {name} FROM base"),
            &[
                ("connector", "'kafka'"),
                ("topic", "'t'"),
                ("server", "'127.0.0.1:9092'"),
            ],
        ),
        "`generate`: TABLE or SOURCE" => (
            format!("CREATE SOURCE {name} (n BIGINT, seed BIGINT)"),
            &[("connector", "'generate'")],
        ),
        "`stdout`: SINK" => (
            format!("CREATE SINK {name} FROM base"),
            &[("connector", "'stdout'")],
        ),
        "`file`: SINK" => (
            format!("CREATE SINK {name} FROM base"),
            &[("connector", "'file'"), ("path", "'NAME-{n}.json'")],
        ),
        "Every TABLE and SOURCE with a watermark" => (
            format!(
                "CREATE SOURCE {name} (n BIGINT, ts TIMESTAMP AS (now()), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)"
            ),
            &[("connector", "'generate'")],
        ),
        "Every sink" => (
            format!("CREATE SINK {name} FROM base"),
            &[("connector", "'stdout'")],
        ),
        other => panic!("a section without a statement: {other}"),
    };
    let given = |key: &str| options.iter().any(|(other, _)| other == key);
    let needed = (needed.iter()).filter(|(key, _)| {
        // Of the two, one is given.
        !given(key) && (*key != "interval" || !given("schedule"))
    });
    // No two sinks have the same files.
    let needed = needed.map(|(key, value)| format!("{key} = {}", value.replace("NAME", name)));
    let options = options
        .iter()
        .map(|(key, value)| format!("{key} = {value}"));
    let all: Vec<String> = needed.chain(options).collect();
    format!("{head} WITH ({});", all.join(", "))
}

/// Validates statements, one a line, and panics with the faults.
fn validate(statements: &[String]) {
    let project = Project::new();
    let authority = root().join("tests/dialect/accept/ca.pem");
    let base = "CREATE TABLE base (n BIGINT, symbol STRING AS ('s')) WITH (connector = 'generate', rows = 1);";
    project.file("p.sql", format!("{base}\n{}\n", statements.join("\n")));
    let output = project
        .omlsp(["validate", "p.sql"])
        .env("CA_FILE", authority)
        .run();
    assert_eq!(output.code, Some(0), "{output}");
}

#[test]
fn every_example_is_valid_and_has_its_option() {
    let mut statements = Vec::new();
    for (number, option) in documented().iter().enumerate() {
        let given = assignments(&option.example);
        let prefix = option.key.strip_suffix('*');
        let has = given.iter().any(|(key, _)| match prefix {
            Some(prefix) => key.starts_with(prefix),
            None => *key == option.key,
        });
        assert!(
            has,
            "the example of `{}` does not give it: {}",
            option.key, option.example
        );
        statements.push(statement(&option.section, &format!("e{number}"), &given));
    }
    assert!(statements.len() > 100, "the tables have been read");
    validate(&statements);
}

#[test]
fn every_default_is_valid() {
    let mut statements = Vec::new();
    for (number, option) in documented().iter().enumerate() {
        let Some(default) = &option.default else {
            continue;
        };
        let mut given = assignments(&option.example);
        for (key, value) in &mut given {
            if *key == option.key {
                *value = format!("'{default}'");
            }
        }
        statements.push(statement(&option.section, &format!("d{number}"), &given));
    }
    validate(&statements);
}

/// The methods of `Options` that take an option by its name.
const TAKES: [&str; 14] = [
    "text(",
    "text_of(",
    "required_text(",
    "prefixed(",
    "parsed(",
    "duration(",
    "duration_above_zero(",
    "size(",
    "integer(",
    "count(",
    "boolean(",
    "one_of(",
    "take_secret(",
    "take_pair(",
];

/// Returns the keys that a file takes: the texts that look like keys, right after such a method.
fn taken(text: &str) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let mut keys = BTreeSet::new();
    for take in TAKES {
        for (at, _) in product.match_indices(take) {
            let arguments = &product[at + take.len()..];
            let end = arguments.find([')', ';']).unwrap_or(arguments.len());
            let texts = arguments[..end].split('"').skip(1).step_by(2);
            let first = texts.take(if take == "text_of(" || take == "take_pair(" {
                9
            } else {
                1
            });
            keys.extend(first.filter(|text| is_key(text)).map(str::to_owned));
        }
    }
    // What goes through a function or a constant of the connector's own.
    for text in product.split('"').skip(1).step_by(2) {
        let family = text.split_once('.').map(|(family, _)| family);
        let families = FAMILIES.iter().any(|known| family == Some(*known));
        if families && is_key(text) && !text.ends_with('.') {
            keys.insert(text.to_owned());
        }
    }
    for (at, handed) in product.match_indices("options, \"") {
        let text = product[at + handed.len()..].split('"').next();
        keys.extend(text.filter(|text| is_key(text)).map(str::to_owned));
    }
    keys
}

/// The first words of options that come in families.
const FAMILIES: [&str; 10] = [
    "auth",
    "retry",
    "pagination",
    "lookup",
    "batch",
    "roll",
    "scan",
    "tls",
    "subscribe",
    "watermark",
];

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c))
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("it stays readable").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("")
            .to_owned();
        if path.is_dir() && name != "tests" {
            files(&path, found);
        } else if name.ends_with(".rs") && !name.starts_with("test") {
            found.push(path);
        }
    }
}

#[test]
fn every_option_of_the_code_is_documented() {
    let mut by_connector: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut everywhere = BTreeSet::new();
    for option in documented() {
        let connector = option
            .section
            .split(':')
            .next()
            .unwrap_or("")
            .trim_matches('`');
        let connector = connector.trim_start_matches("lookup-").to_owned();
        let key = option.key.trim_end_matches('*').to_owned();
        everywhere.insert(key.clone());
        by_connector.entry(connector).or_default().insert(key);
    }
    let folder = root().join("src/connector");
    let (mut paths, mut missing, mut count) = (Vec::new(), String::new(), 0);
    files(&folder, &mut paths);
    // What is the same for all connectors is taken where they are bound.
    paths.extend(["relation.rs", "sink.rs"].map(|name| root().join("src/plan").join(name)));
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("it is a file");
        let relative = path.strip_prefix(&folder).unwrap_or(Path::new("plan"));
        let first = relative
            .iter()
            .next()
            .and_then(|part| part.to_str())
            .unwrap_or("");
        // A file of a connector; what several share is documented somewhere.
        let of = by_connector.get(first.trim_end_matches(".rs"));
        for key in taken(&text) {
            count += 1;
            // The values of these are names of parameters, not of options.
            let known = of.map_or_else(|| everywhere.contains(&key), |keys| keys.contains(&key));
            let is_bare_name = ["page", "cursor", "id", "connector"].contains(&key.as_str());
            let is_alias = key.starts_with("properties.bootstrap.");
            // What we set for librdkafka ourselves.
            let is_foreign = ["batch.num.messages", "batch.size"].contains(&key.as_str());
            if !(known || is_bare_name || is_alias || is_foreign) {
                writeln!(missing, "`{key}` of {}", path.display())
                    .expect("writing to a string cannot fail");
            }
        }
    }
    assert!(count > 110, "the code has been read: {count}");
    assert!(missing.is_empty(), "docs/options.md lacks\n{missing}");
}
