//! The records that the examples ship with, and what the README promises first: rows, a lookup join and an
//! aggregate, without a network.

use std::path::Path;

use crate::stage::{RECORD, Stage};
use crate::support::binary::Omlsp;

/// Returns the first command of the README, from the name of the program on.
fn first_command(readme: &str) -> Vec<String> {
    let block = readme
        .split("```sh\n")
        .nth(1)
        .expect("the README has a command");
    let command = block.lines().next().expect("a block has a line");
    let words: Vec<&str> = command.split_whitespace().collect();
    let start = words.iter().position(|word| *word == "--");
    let start = start.expect("`cargo run --release -- …`");
    assert_eq!(words[..start], ["cargo", "run", "--release"]);
    words[start + 1..]
        .iter()
        .map(|word| (*word).to_owned())
        .collect()
}

#[test]
fn the_first_command_of_the_readme_shows_rows_a_join_and_an_aggregate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("there is a README");
    // No variable of the surroundings reaches it, and a network it does not need: the record's server is not
    // asked, since the record says what it said.
    let output = Omlsp::new()
        .dir(root)
        .args(first_command(&readme))
        .run()
        .expect_code(0);
    let rows = output.json_lines();
    let joined = |row: &&serde_json::Value| row["percent_since_open"].is_number();
    assert!(rows.iter().filter(joined).count() >= 3, "{output}");
    let aggregate = |row: &&serde_json::Value| row["op"] == "insert" && row["quotes"].is_number();
    assert!(rows.iter().filter(aggregate).count() >= 2, "{output}");
}

#[test]
fn the_examples_are_tests_that_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Omlsp::new()
        .dir(root)
        .args(["test", "pipelines"])
        .run()
        .expect_code(0);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "ok      pipelines (17 entities as expected)",
            "ok      pipelines/quickstart (2 entities as expected)",
            "2 passed, 0 failed"
        ]
    );
}

#[test]
fn all_examples_as_one_pipeline_replay_to_the_same_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let read = |path: &Path| std::fs::read_to_string(path).expect("it is part of the repository");
    let mut texts = vec![read(&folder.join("quickstart/quickstart.sql"))];
    for entry in std::fs::read_dir(&folder).expect("there are examples") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            texts.push(read(&path));
        }
    }
    assert_eq!(texts.len(), 8);
    texts.sort();
    let stage = Stage::new(&texts.join("\n"));
    let record = read(&folder.join("record/record.jsonl"));
    stage
        .project
        .file(&format!("{RECORD}/record.jsonl"), record);
    let left = stage.replay_twice();
    assert_eq!(left.rows("data.binance_trades").len(), 66);
    let lines = |part: &str| left.stdout.matches(part).count();
    assert_eq!(
        lines("\"received_at\""),
        30,
        "WebSocket messages of 5 connections"
    );
    assert_eq!(lines("\"age_s\""), 10, "candles of a lookup join");
    // What would have gone to Kafka.
    let captured: Vec<&str> = left.files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(captured.contains(&"tickers_to_kafka.jsonl"), "{captured:?}");
}
