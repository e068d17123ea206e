//! `omlsp run --record` and `--replay`: how a record begins, and how one is played.
//!
//! Called by the subcommands that run pipelines.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::state_dir::{self, StateDir};
use super::{Outcome, load};
use crate::catalog::Catalog;
use crate::connector::SinkConnector;
use crate::connector::capture::Capture;
use crate::connector::lines::LineFormat;
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine::{Database, Ledger};
use crate::options::Environment;
use crate::plan::{Plan, SinkPlan, Work, check};
use crate::record::{Event, Player, Recorder, Tape};
use crate::runtime::{Replayed, RunOptions, Runtime, Shared, Speed, interrupted, state};

/// How a record is played.
pub struct Settings<'a> {
    pub record: &'a Path,
    /// Where the state is kept; in memory without one.
    pub state_dir: Option<&'a Path>,
    pub memory_bytes: u64,
    pub speed: Speed,
    /// Where the rows of sinks that would go over the network are written.
    pub capture: Option<&'a Path>,
    pub run_for: Option<Duration>,
}

/// Makes what the nodes of a live run share; with a recorder, everything that comes in is written down, and
/// first what the record begins with: the sources, and where those stand that have run before.
///
/// # Errors
/// DuckDB's own.
pub fn recorded(
    database: Database,
    plan: &Plan,
    recorder: Option<&Arc<Recorder>>,
) -> anyhow::Result<Arc<Shared>> {
    let clock = Arc::new(chrono::Utc::now);
    let shared = Shared::new(database, plan.secrets.clone(), clock)?;
    let Some(recorder) = recorder else {
        return Ok(Arc::new(shared));
    };
    let shared = shared.with_tape(Tape::Recorder(Arc::clone(recorder)));
    let sources = (plan.nodes.iter()).filter(|node| matches!(node.work, Work::Source(_)));
    let names: Vec<String> = sources.map(|node| node.name.clone()).collect();
    let now = shared.now();
    recorder.begin(now, names.clone());
    let session = shared.database.session()?;
    for entity in names {
        if let Some(cursor) = Ledger::new(&session).stream(&entity)?.cursor {
            let cursor = recorder.text(&cursor);
            recorder.write(now, Event::Cursor { entity, cursor });
        }
    }
    Ok(Arc::new(shared))
}

/// Plays a record through the pipeline of some files.
///
/// # Errors
/// Files or a record that cannot be read, or a state directory that is not empty.
pub fn run(paths: &[std::path::PathBuf], settings: &Settings<'_>) -> anyhow::Result<Outcome> {
    let sources = load::read(paths)?;
    let mut plan = match checked(&sources)? {
        Ok(plan) => plan,
        Err(faults) => {
            load::print_faults(&sources, &faults);
            return Ok(Outcome::Failed);
        }
    };
    let player = Arc::new(Player::open(settings.record)?);
    let owned = settings.state_dir.map(own_new).transpose()?;
    if let Some(folder) = settings.capture {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    plan.replace_sinks(&|name, sink| instead(name, sink, settings.capture));
    let path = owned.as_ref().map(StateDir::database);
    let database = Database::open_repeatable(path.as_deref(), settings.memory_bytes)?;
    let (replayed, _) = play(plan, &player, database, (settings.speed, settings.run_for))?;
    if player.is_cut() {
        tracing::warn!(record = %player.path().display(), "the record was cut off while it was written; it was played up to there");
    }
    Ok(match replayed {
        Replayed::Well => Outcome::Done,
        Replayed::Badly => Outcome::Failed,
        Replayed::Lacking(message) => {
            super::say(format_args!("error: {message}"));
            Outcome::Failed
        }
    })
}

/// Returns the plan of some files, or what is wrong with them.
///
/// # Errors
/// The engine cannot be opened.
pub fn checked(sources: &SourceMap) -> anyhow::Result<Result<Plan, Vec<Diagnostic>>> {
    let (catalog, mut faults) = Catalog::of_files(sources);
    faults.extend(catalog.commands.iter().map(|command| {
        Diagnostic::new(command.span, "a pipeline file only defines entities")
            .help("run this statement with `omlsp sql`")
    }));
    let checked = check(&catalog, &Environment::of_process(), faults)?;
    Ok(checked.plan.ok_or(checked.faults))
}

/// Plays a record through a plan, in a database that is empty; returns also what is left to look at.
///
/// # Errors
/// The record has nothing for one of the sources, or DuckDB's own.
pub fn play(
    plan: Plan,
    player: &Arc<Player>,
    database: Database,
    (speed, run_for): (Speed, Option<Duration>),
) -> anyhow::Result<(Replayed, Arc<Runtime>)> {
    let session = database.session()?;
    Ledger::new(&session).prepare()?;
    session.set_clock(player.begin())?;
    let steps = state::compare(&Ledger::new(&session).entities()?, &plan, false)?;
    state::apply(&session, &plan, &steps)?;
    drop(session);
    let clock = player.clock.clone();
    let clock = Arc::new(move || clock.now());
    let shared = Shared::new(database, plan.secrets.clone(), clock)?;
    let shared = Arc::new(shared.with_tape(Tape::Player(Arc::clone(player))));
    let options = RunOptions {
        once: true,
        is_new: true,
        drain_timeout: Duration::ZERO,
    };
    let runtime = Arc::new(Runtime::new(shared, plan, options)?);
    let replayed = runtime.replay(player, speed, interrupted(run_for)?)?;
    Ok((replayed, runtime))
}

/// Returns what stands in the place of a sink that would reach the network.
fn instead(name: &str, sink: &SinkPlan, capture: Option<&Path>) -> Option<Arc<dyn SinkConnector>> {
    if sink.connector.is_local() {
        return None;
    }
    if capture.is_none() {
        tracing::info!(entity = %name, "not sent in a replay; --capture keeps its rows");
    }
    Some(Arc::new(Capture {
        path: capture.map(|folder| folder.join(format!("{name}.jsonl"))),
        format: LineFormat::Json,
        changing: sink.is_changing(),
    }))
}

/// Takes a state directory that has no state yet.
fn own_new(path: &Path) -> anyhow::Result<StateDir> {
    anyhow::ensure!(
        !state_dir::has_state(path),
        "a replay begins with an empty state, but `{}` has one: remove it, or choose another --state-dir",
        path.display()
    );
    StateDir::try_own(path)?.with_context(|| {
        format!(
            "the state directory `{}` is in use by another omlsp",
            path.display()
        )
    })
}
