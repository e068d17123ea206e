//! The command line: arguments as typed, one file per subcommand.
//!
//! Data goes to stdout, everything else to stderr.

mod client;
mod completions;
mod graph;
mod load;
mod man;
mod output;
mod progress;
mod replay;
mod restart;
mod run;
mod shell;
mod show;
mod sql;
mod state_dir;
mod tail;
mod test;
mod top;
mod validate;

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

use clap::{Parser, Subcommand};

/// A stream processor for HTTP APIs and WebSockets, driven by .sql files.
#[derive(Parser)]
#[command(
    name = "omlsp",
    version,
    about,
    arg_required_else_help = true,
    after_help = "Examples:\n  omlsp validate pipelines/\n  omlsp run pipelines/ --listen 9090\n  omlsp sql 'SELECT * FROM prices LIMIT 10'"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Test(test::Arguments),
    Validate(validate::Arguments),
    Graph(graph::Arguments),
    Show(show::Arguments),
    Sql(sql::Arguments),
    Shell(shell::Arguments),
    Top(top::Arguments),
    Tail(tail::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// What a subcommand came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Invalid pipeline or failed run; what is wrong has been printed.
    Failed,
}

impl Outcome {
    /// Returns the exit code of the process.
    pub fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// What the world refused; `main` prints it.
pub fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.command {
        Command::Run(arguments) => self::run::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Shell(arguments) => shell::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}

/// Writes a line to stderr. Where nobody reads that any more, there is nobody to tell.
pub fn say(text: impl Display) {
    let line = format!("{text}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .unwrap_or_default();
}

/// Writes a text to stdout. A reader that has seen enough, as `head`, is no error.
///
/// # Errors
/// The output takes no more: a full disk.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests;
