//! `omlsp validate`: everything that is wrong with a pipeline, without network, broker or state.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::load::{self, Unreadable};
use super::{Outcome, say};
use crate::plan::{GraphFormat, render_graph};

/// Check a pipeline and report every fault, with its place
///
/// Needs no network, no broker and no state: names and types are bound by the engine over empty tables.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp validate pipelines/\n  omlsp validate --format json prices.sql"
)]
pub struct Arguments {
    /// Files, or folders whose .sql files form one pipeline
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// For people, or a JSON array of faults for editors
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Also say how each entity of a valid pipeline works: how views are maintained, how jq filters are run
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
}

/// # Errors
/// Files that cannot be read, unless an editor is told of them as of any other fault.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let loaded = match load::load(&arguments.paths) {
        Ok(loaded) => loaded,
        Err(error) => match (arguments.format, error.downcast_ref::<Unreadable>()) {
            (Format::Json, Some(unreadable)) => {
                super::print(&unreadable.render_json())?;
                return Ok(Outcome::Failed);
            }
            _ => return Err(error),
        },
    };
    let faults = &loaded.checked.faults;
    match arguments.format {
        Format::Json => super::print(&loaded.sources.render_json(faults))?,
        Format::Human => {
            load::print_faults(&loaded.sources, faults);
            if faults.is_empty() {
                let entities = loaded.catalog.len();
                let files = loaded.sources.files().count();
                let entities = count(entities, "entity", "entities");
                let files = count(files, "file", "files");
                say(format_args!("{entities} in {files}: valid"));
            }
            if let (true, Some(plan)) = (arguments.verbose, &loaded.checked.plan) {
                say(render_graph(plan, GraphFormat::Text).trim_end());
            }
        }
    }
    Ok(if faults.is_empty() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
