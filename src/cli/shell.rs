//! `omlsp shell`: statements at a prompt, or line by line from a pipe.

mod complete;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum as _};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use signal_hook::consts::SIGINT;

use self::complete::{Hints, Names};
use super::client::{Client, Missing};
use super::output::{Counted, Format, Output};
use super::sql::is_broken_pipe;
use super::{Outcome, say, state_dir};
use crate::sql::{ends_statement, mask_secrets};

const HELP: &str = "\
  statement;          execute it; it may have several lines and ends with a semicolon
  \\d                  list what there is
  \\d NAME             describe the columns of an entity
  \\f table|json|csv   choose how results are written
  \\?                  this help
  \\q                  leave, as does Ctrl-D; Ctrl-C cancels the statement

  SELECT … FROM prices LIMIT 10;            SHOW TABLES|SOURCES|VIEWS|MATERIALIZED VIEWS|SINKS;
  CREATE VIEW cheap AS SELECT …;            SHOW SECRETS|LOOKUPS|ERRORS;
  DROP VIEW cheap CASCADE;                  SHOW CREATE VIEW cheap;   DESCRIBE prices;
  EXPLAIN SELECT …;                         SET statement_timeout = '30s';";

const LIST: &str =
    "SHOW TABLES; SHOW SOURCES; SHOW VIEWS; SHOW MATERIALIZED VIEWS; SHOW SINKS; SHOW LOOKUPS";

/// The lines of history that are kept.
const HISTORY_MAX: usize = 10_000;

/// Names for completion that are older are asked for again before the next prompt.
const NAMES_AGE_MAX: Duration = Duration::from_secs(10);

/// Give statements interactively
///
/// They go to the pipeline that owns the state directory or, when nothing runs, straight to its state; which of
/// the two is looked at anew for each statement.
#[derive(Args)]
#[command(after_help = "Examples:\n  omlsp shell\n  omlsp shell --state-dir /var/lib/omlsp")]
pub struct Arguments {
    #[command(flatten)]
    state: state_dir::Arguments,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// # Errors
/// The terminal cannot be used.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.state, Missing::Create);
    cancel_on_interrupt(&client)?;
    let mut shell = Shell {
        client,
        format: arguments.format,
        failed: false,
    };
    if std::io::stdin().is_terminal() {
        say(format_args!(
            "omlsp {}, state directory `{}`; \\? for help",
            env!("CARGO_PKG_VERSION"),
            arguments.state.path().display()
        ));
        shell.interactive()?;
        return Ok(Outcome::Done);
    }
    shell.piped()?;
    Ok(if shell.failed {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

/// Makes Ctrl-C cancel the statement that runs, and nothing else.
fn cancel_on_interrupt(client: &Client) -> anyhow::Result<()> {
    let cancel = client.cancel();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                cancel.cancel();
            }
        })?;
    Ok(())
}

struct Shell {
    client: Client,
    format: Format,
    failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Leave,
}

impl Shell {
    fn interactive(&mut self) -> anyhow::Result<()> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY_MAX)?
            .history_ignore_dups(true)?
            .build();
        let mut editor: Editor<Hints, DefaultHistory> = Editor::with_config(config)?;
        let names = Arc::new(Names::default());
        editor.set_helper(Some(Hints::new(Arc::clone(&names))));
        let history = history_file();
        if let Some(path) = &history
            && path.exists()
            && let Err(error) = editor.load_history(path)
        {
            say(format_args!(
                "the history `{}` cannot be read: {error}",
                path.display()
            ));
        }
        let mut asked: Option<Instant> = None;
        loop {
            if asked.is_none_or(|asked| asked.elapsed() > NAMES_AGE_MAX) {
                names.refresh(&mut self.client);
                asked = Some(Instant::now());
            }
            let line = match editor.readline("omlsp> ") {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if line.trim().is_empty() {
                continue;
            }
            // A secret's value stays in no file.
            if mask_secrets(&line) == line {
                editor.add_history_entry(line.as_str())?;
                if let Some(path) = &history
                    && let Err(error) = editor.append_history(path)
                {
                    say(format_args!(
                        "the history `{}` cannot be written: {error}",
                        path.display()
                    ));
                }
            }
            if self.input(&line)? == Next::Leave {
                return Ok(());
            }
            let changes = ["CREATE", "DROP"];
            let first = line.split_whitespace().next().unwrap_or("").to_uppercase();
            if changes.contains(&first.as_str()) {
                asked = None;
            }
        }
    }

    /// Reads statements from a pipe or file; what follows the last semicolon is one too.
    fn piped(&mut self) -> anyhow::Result<()> {
        let mut input = String::new();
        let mut lines = std::io::stdin().lock();
        loop {
            let start = input.len();
            let at_end = lines.read_line(&mut input)? == 0;
            let command =
                input[start..].trim_start().starts_with('\\') && input[..start].trim().is_empty();
            if command || at_end || ends_statement(&input) {
                let text = std::mem::take(&mut input);
                if !text.trim().is_empty() && self.input(&text)? == Next::Leave {
                    return Ok(());
                }
            }
            if at_end {
                return Ok(());
            }
        }
    }

    fn input(&mut self, text: &str) -> anyhow::Result<Next> {
        let text = text.trim();
        let word = text.trim_end_matches(';').trim_end().to_lowercase();
        match word.as_str() {
            "\\q" | "quit" | "exit" => return Ok(Next::Leave),
            "\\?" | "\\h" | "help" => {
                super::print(&format!("{HELP}\n"))?;
                return Ok(Next::Go);
            }
            _ => {}
        }
        let Some(command) = text.strip_prefix('\\') else {
            return self.execute(text);
        };
        let mut words = command.split_whitespace();
        match (words.next(), words.next()) {
            (Some("d"), None) => self.execute(LIST),
            (Some("d"), Some(name)) => {
                let name = name.trim_end_matches(';');
                self.execute(&format!("DESCRIBE {name}"))
            }
            (Some("f"), Some(name)) => {
                match Format::from_str(name, true) {
                    Ok(format) => self.format = format,
                    Err(_) => say("the formats are table, json and csv"),
                }
                Ok(Next::Go)
            }
            _ => {
                say(format_args!("`{text}` is no command; \\? lists them"));
                Ok(Next::Go)
            }
        }
    }

    /// Executes statements; what goes wrong is printed, and the shell goes on.
    fn execute(&mut self, sql: &str) -> anyhow::Result<Next> {
        let out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut output = Output::new(self.format, out, Counted::Yes);
        match self.client.run(sql, "", &mut |event| output.event(event)) {
            Ok(true) => Ok(Next::Go),
            Ok(false) => {
                self.failed = true;
                Ok(Next::Go)
            }
            Err(error) if is_broken_pipe(&error) => Ok(Next::Leave),
            Err(error) => {
                self.failed = true;
                say(format_args!("error: {error:#}"));
                Ok(Next::Go)
            }
        }
    }
}

/// Returns the file of the history, in the user's state directory (XDG Base Directory Specification 0.8).
fn history_file() -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?
        .join("omlsp");
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    if let Err(error) = made {
        say(format_args!(
            "there will be no history, `{}` cannot be made: {error}",
            folder.display()
        ));
        return None;
    }
    Some(folder.join("history"))
}
