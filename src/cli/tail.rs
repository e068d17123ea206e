//! `omlsp tail`: the changes of an entity as they come.

use clap::{Args, ValueEnum};

use super::client::{Client, Missing};
use super::output::{self, Counted, Output};
use super::{Outcome, sql, state_dir};
use crate::server::Want;

/// Print the changes of an entity as they come
///
/// Asks the pipeline that owns the state directory, from now on and until Ctrl-C or the end of the entity. Each
/// change has an `op`: `insert` or `delete`. Nothing waits for it: where rows come faster than they can be
/// printed, some are left out, and it says so.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp tail tickers\n  omlsp tail moves --state-dir /var/lib/omlsp | jq 'select(.op == \"insert\")'\n  omlsp tail total --format csv"
)]
pub struct Arguments {
    /// A TABLE, SOURCE, VIEW, MATERIALIZED VIEW or SINK
    #[arg(value_name = "ENTITY")]
    entity: String,
    #[command(flatten)]
    state: state_dir::Arguments,
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

/// A table would need to know how wide the rows are that are still to come.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One object a line
    Json,
    /// With a line of column names
    Csv,
}

/// # Errors
/// Nobody answers, or the output takes no more.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let format = match arguments.format {
        Format::Json => output::Format::Json,
        Format::Csv => output::Format::Csv,
    };
    let mut client = Client::new(&arguments.state, Missing::Refuse);
    let out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut output = Output::new(format, out, Counted::No);
    let want = Want::Tail(arguments.entity.clone());
    match client.want(want, &mut |event| output.event(event)) {
        Ok(true) => Ok(Outcome::Done),
        Ok(false) => Ok(Outcome::Failed),
        Err(error) if sql::is_broken_pipe(&error) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}
