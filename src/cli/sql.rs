//! `omlsp sql`: statements from the command line, a file, or standard input.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::client::{Client, Missing};
use super::output::{Counted, Format, Output};
use super::{Outcome, state_dir};
use crate::sql::TokenKind;

/// Execute statements
///
/// They go to the pipeline that owns the state directory or, when nothing runs, straight to its state. Results
/// go to stdout, messages to stderr. The first statement that fails ends the script.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp sql 'SELECT symbol, price FROM prices LIMIT 10'\n  omlsp sql --format csv -f report.sql > report.csv\n  echo 'DROP SINK prints' | omlsp sql -"
)]
pub struct Arguments {
    /// The statements, or `-` to read them from standard input
    #[arg(
        value_name = "SQL",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    sql: Option<String>,
    /// A file with the statements
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    state: state_dir::Arguments,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// # Errors
/// The statements cannot be read, or nobody answers.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (sql, name) = match (&arguments.file, arguments.sql.as_deref()) {
        (Some(file), _) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read `{}`", file.display()))?;
            (text, file.display().to_string())
        }
        (None, Some("-")) | (None, None) => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            (text, "stdin".to_owned())
        }
        (None, Some(sql)) => (sql.to_owned(), String::new()),
    };
    let missing = if creates(&sql) {
        Missing::Create
    } else {
        Missing::Refuse
    };
    answer(
        Client::new(&arguments.state, missing),
        (&sql, &name),
        arguments.format,
    )
}

/// Says whether a script has a statement that makes something, for which a state directory is made too.
fn creates(sql: &str) -> bool {
    let tokens = crate::sql::tokens(sql);
    tokens.split(|token| token.is_symbol(';')).any(|statement| {
        let first = statement
            .first()
            .filter(|token| token.kind == TokenKind::Word);
        first.is_some_and(|token| token.text(sql).eq_ignore_ascii_case("CREATE"))
    })
}

/// Executes a script and writes its results to stdout.
///
/// # Errors
/// Nobody answers, or the output takes no more.
pub fn answer(
    mut client: Client,
    (sql, name): (&str, &str),
    format: Format,
) -> anyhow::Result<Outcome> {
    let out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut output = Output::new(format, out, Counted::No);
    match client.run(sql, name, &mut |event| output.event(event)) {
        Ok(true) => Ok(Outcome::Done),
        Ok(false) => Ok(Outcome::Failed),
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}

/// Says whether the reader of our output is gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let error = cause.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
