//! `omlsp graph`: the DAG of a pipeline as text, mermaid or dot.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Outcome, load};
use crate::plan::{GraphFormat, render_graph};

/// Print the DAG of a pipeline and how each view is maintained
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp graph pipelines/\n  omlsp graph --format dot pipelines/ | dot -Tsvg > pipeline.svg"
)]
pub struct Arguments {
    /// Files, or folders whose .sql files form one pipeline
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Mermaid,
    Dot,
}

/// # Errors
/// Files that cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let loaded = load::load(&arguments.paths)?;
    let Some(plan) = &loaded.checked.plan else {
        load::print_faults(&loaded.sources, &loaded.checked.faults);
        return Ok(Outcome::Failed);
    };
    let format = match arguments.format {
        Format::Text => GraphFormat::Text,
        Format::Mermaid => GraphFormat::Mermaid,
        Format::Dot => GraphFormat::Dot,
    };
    super::print(&render_graph(plan, format))?;
    Ok(Outcome::Done)
}
