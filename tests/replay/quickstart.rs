//! What the README promises first: rows, a lookup join and an aggregate, without a network.

use std::path::Path;

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
fn the_quickstart_is_a_test_that_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Omlsp::new()
        .dir(root)
        .args(["test", "pipelines"])
        .run()
        .expect_code(0);
    assert!(
        output.stdout.contains("ok      pipelines/quickstart"),
        "{output}"
    );
    assert!(output.stdout.ends_with("1 passed, 0 failed\n"), "{output}");
}
