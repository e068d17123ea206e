//! `omlsp show`: what a pipeline has and how it does.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum as _};

use super::client::{Client, Missing};
use super::output::Format;
use super::{Outcome, sql, state_dir};

/// Show the entities of a pipeline and how they do
///
/// Asks the pipeline that owns the state directory or, when nothing runs, its state.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp show tables\n  omlsp show materialized-views --state-dir /var/lib/omlsp\n  omlsp show errors --format json | jq .message"
)]
pub struct Arguments {
    /// What to show; `materialized views` may be two words
    #[arg(value_enum, ignore_case = true, value_name = "WHAT")]
    what: What,
    /// The second word of `materialized views`
    #[arg(hide = true, value_parser = ["views", "VIEWS", "Views"])]
    more: Option<String>,
    #[command(flatten)]
    state: state_dir::Arguments,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Tables,
    Sources,
    Views,
    MaterializedViews,
    Sinks,
    Secrets,
    Lookups,
    Errors,
}

impl clap::ValueEnum for What {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Tables,
            Self::Sources,
            Self::Views,
            Self::MaterializedViews,
            Self::Sinks,
            Self::Secrets,
            Self::Lookups,
            Self::Errors,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Tables => PossibleValue::new("tables"),
            Self::Sources => PossibleValue::new("sources"),
            Self::Views => PossibleValue::new("views"),
            Self::MaterializedViews => PossibleValue::new("materialized-views")
                .aliases(["materialized", "materialized views"]),
            Self::Sinks => PossibleValue::new("sinks"),
            Self::Secrets => PossibleValue::new("secrets"),
            Self::Lookups => PossibleValue::new("lookups"),
            Self::Errors => PossibleValue::new("errors"),
        })
    }
}

/// # Errors
/// Nobody answers, or there is no state.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if arguments.more.is_some() && arguments.what != What::MaterializedViews {
        let kind = clap::error::ErrorKind::UnknownArgument;
        clap::Error::raw(
            kind,
            "`views` as a second word only follows `materialized`\n",
        )
        .exit();
    }
    let value = arguments.what.to_possible_value();
    let words = value
        .map(|value| value.get_name().replace('-', " "))
        .unwrap_or_default();
    let statement = format!("SHOW {}", words.to_uppercase());
    let client = Client::new(&arguments.state, Missing::Refuse);
    sql::answer(client, (&statement, ""), arguments.format)
}
