//! `omlsp top`: what every entity is doing, on a terminal, once a second.

mod look;
mod screen;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use self::look::{Look, Looks};
use self::screen::Screen;
use super::client::{Client, Missing};
use super::output::{Counted, Format, Output};
use super::{Outcome, state_dir};
use crate::server::{self, Want};

/// Watch what every entity is doing
///
/// Asks the pipeline that owns the state directory once a second. Keys: arrows choose an entity, `s` sorts by rate,
/// by what is behind, by errors or as written, `e` leaves only what has errors, Enter shows all of an error, `q`
/// ends it. Where stdout is no terminal, or with --once, it prints one table and ends.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp top\n  omlsp top --state-dir /var/lib/omlsp\n  omlsp top --once --format json | jq 'select(.errors > 0)'"
)]
pub struct Arguments {
    #[command(flatten)]
    state: state_dir::Arguments,
    /// Print one look and end
    #[arg(long)]
    once: bool,
    /// How the one look is printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// # Errors
/// Nothing runs there, or there is no terminal.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut client = Client::new(&arguments.state, Missing::Refuse);
    let mut looks = Looks::default();
    let mut next = || -> anyhow::Result<Look> {
        let text = ask(&mut client, arguments)?;
        looks.take(&text)
    };
    if arguments.once || !std::io::stdout().is_terminal() {
        next()?;
        // A rate needs two looks.
        std::thread::sleep(LOOK_EVERY);
        let look = next()?;
        let out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut output = Output::new(arguments.format, out, Counted::No);
        for event in look.table() {
            output.event(event)?;
        }
        return Ok(Outcome::Done);
    }
    let first = next()?;
    let mut terminal = ratatui::try_init().context("cannot take over the terminal")?;
    let folder = arguments.state.path().display().to_string();
    let watched = watch(&mut terminal, Screen::new(folder, first), &mut next);
    ratatui::restore();
    watched.map(|()| Outcome::Done)
}

/// Returns the status of what runs; a state that nobody runs has none worth watching.
fn ask(client: &mut Client, arguments: &Arguments) -> anyhow::Result<String> {
    let path = arguments.state.path();
    anyhow::ensure!(
        server::connect(&path).is_ok(),
        "nothing runs in `{}`; `omlsp show` tells what was left there",
        path.display()
    );
    let (mut status, mut failure) = (None, None);
    client.want(Want::Status, &mut |event| {
        match event {
            server::Event::Status(text) => status = Some(text),
            server::Event::Error(text) => failure = Some(text),
            _ => {}
        }
        Ok(())
    })?;
    if let Some(failure) = failure {
        anyhow::bail!("{failure}");
    }
    status.context("the pipeline did not tell its status; is it of another version?")
}

/// Draws until the user has seen enough.
fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    mut screen: Screen,
    next: &mut dyn FnMut() -> anyhow::Result<Look>,
) -> anyhow::Result<()> {
    let mut looked = Instant::now();
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let left = LOOK_EVERY.saturating_sub(looked.elapsed());
        if event::poll(left)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('q') => return Ok(()),
                    KeyCode::Char('c') if control => return Ok(()),
                    code => screen.key(code),
                }
            }
        } else {
            looked = Instant::now();
            screen.take(next()?);
        }
    }
}
