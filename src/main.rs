//! Parses the arguments, calls the subcommand, prints an error once, ends with the exit code.

use clap::Parser as _;
use omlsp::cli::{Arguments, Outcome};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let outcome = omlsp::cli::run(Arguments::parse()).unwrap_or_else(|error| {
        omlsp::cli::say(format_args!("error: {error:#}"));
        Outcome::Failed
    });
    // Everything is closed and flushed by now, or waits for a reader of stdout that has stalled and is not waited for.
    // To take DuckDB's tables of functions apart and to give memory back piece by piece takes longer than many a
    // command: the system does it at once.
    signal_hook::low_level::exit(outcome.code());
}
