//! The examples of every `--help` are calls that the command line takes.

use clap::{CommandFactory as _, Parser as _};

use super::Arguments;

/// Splits a command as a shell does, as far as our examples go: at blanks outside of quotes.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quote, mut open) = (Vec::new(), None, None::<String>);
    for c in command.chars() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                open.get_or_insert_default();
            }
            (None, ' ') => words.extend(open.take()),
            _ => open.get_or_insert_default().push(c),
        }
    }
    words.extend(open);
    words
}

/// Returns the calls of omlsp in a line: what stands between pipes, without what goes to a file.
fn calls(line: &str) -> Vec<String> {
    let line = line.split(" # ").next().unwrap_or("");
    let commands = line.split(" | ").flat_map(|part| part.split(" && "));
    let calls = commands.map(|part| part.split(" > ").next().unwrap_or("").trim());
    calls
        .filter(|call| call.starts_with("omlsp "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_example_of_the_help_is_taken() {
    let command = Arguments::command();
    let mut taken = 0;
    for of in command.get_subcommands().chain([&command]) {
        let help = of.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_else(|| panic!("{} has no examples", of.get_name()));
        let calls: Vec<String> = help.lines().skip(1).flat_map(calls).collect();
        assert!(!calls.is_empty(), "{}: {help}", of.get_name());
        for call in calls {
            if let Err(error) = Arguments::try_parse_from(words(&call)) {
                panic!("{call}\n{error}");
            }
            taken += 1;
        }
    }
    assert!(taken > 20, "{taken}");
}
