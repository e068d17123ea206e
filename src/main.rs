//! Parses the arguments, calls the subcommand, prints an error once, sets the exit code.

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = omlsp::cli::Arguments::parse();
    match omlsp::cli::run(arguments) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            omlsp::cli::say(format_args!("error: {error:#}"));
            ExitCode::from(1)
        }
    }
}
