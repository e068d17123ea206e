//! `omlsp completions`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Outcome;

/// Print the completions of a shell
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp completions bash > /etc/bash_completion.d/omlsp\n  omlsp completions zsh > ~/.zfunc/_omlsp\n  omlsp completions fish > ~/.config/fish/completions/omlsp.fish"
)]
pub struct Arguments {
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// # Errors
/// The output takes no more.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut command = super::Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "omlsp", &mut text);
    super::print(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}
