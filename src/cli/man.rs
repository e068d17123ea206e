//! `omlsp man`: the manual pages, one per subcommand, from the same text as `--help`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::Outcome;

/// Write the manual pages into a folder
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp man man1 && man ./man1/omlsp-run.1\n  omlsp man /usr/local/share/man/man1"
)]
pub struct Arguments {
    /// The folder, made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// # Errors
/// The folder cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let folder = &arguments.folder;
    let refused = || format!("cannot write to `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(refused)?;
    clap_mangen::generate_to(super::Arguments::command(), folder).with_context(refused)?;
    Ok(Outcome::Done)
}
