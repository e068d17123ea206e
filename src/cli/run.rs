//! `omlsp run`: validate, bring the state in line, run until the end or a signal.

use std::env::VarError;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::progress::Progress;
use super::state_dir::{self, NewState, StateDir};
use super::{Outcome, load, replay, restart};
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, SourceMap};
use crate::engine::{Database, Ledger, Session, asks_for_time, begin_parser};
use crate::options::{Environment, parse_duration, parse_size};
use crate::plan::{Binder, Checked, Listener, Node, Plan, check_with};
use crate::record::Recorder;
use crate::runtime::{Ended, RunOptions, Runtime, Speed, interrupted, state};
use crate::secret::Secret;
use crate::server::{self, Pipeline, Server, Service, Vault, http};

/// Run a pipeline
///
/// Everything is validated before anything starts. SIGINT and SIGTERM stop the sources, let everything
/// drain and commit; a second signal ends at once, and nothing that was committed is lost.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  omlsp run pipelines/\n  omlsp run --once --ephemeral prices.sql | jq .\n  omlsp run --state-dir /var/lib/omlsp --for 1h pipelines/\n  omlsp run --listen 9090 pipelines/    # then open http://127.0.0.1:9090/"
)]
pub struct Arguments {
    /// Files, or folders whose .sql files form one pipeline
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    state: state_dir::Arguments,
    /// Keep everything in memory
    #[arg(long, conflicts_with_all = ["replace", "plan", "state_dir"])]
    ephemeral: bool,
    /// Poll every scheduled source once, read those that end to their end, write everything out, exit
    #[arg(long)]
    once: bool,
    /// Stop after this time, such as 90s or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    run_for: Option<Duration>,
    /// Rebuild entities whose definition has changed, and what depends on them
    #[arg(long)]
    replace: bool,
    /// Print what would be created, resumed, replaced and dropped, and do nothing
    #[arg(long)]
    plan: bool,
    /// Serve metrics, health and a page to watch, such as 127.0.0.1:9090; a port alone is one of loopback
    #[arg(long, value_name = "ADDR", value_parser = server::http::resolve)]
    listen: Option<SocketAddr>,
    /// What the page and its SQL ask for; needed beyond loopback [env: OMLSP_LISTEN_TOKEN]
    #[arg(long, value_name = "TOKEN", requires = "listen")]
    listen_token: Option<String>,
    /// A name, besides localhost and addresses, under which the listener may be called; may be repeated
    #[arg(long, value_name = "NAME", requires = "listen")]
    listen_host: Vec<String>,
    /// How long to drain after a signal
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    drain_timeout: Duration,
    /// The memory the engine may take, such as 512MiB or 4GiB; beyond it, it spills into the state directory
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1GiB")]
    memory_limit: u64,
    /// Write everything that comes in to this folder, secrets left out, so that it can be replayed
    #[arg(long, value_name = "DIR", conflicts_with = "plan")]
    record: Option<PathBuf>,
    /// Take everything from a record instead of the network, on the record's clock, the same every time; in
    /// memory unless --state-dir names a new directory
    #[arg(long, value_name = "DIR", conflicts_with_all = WITHOUT_REPLAY)]
    replay: Option<PathBuf>,
    /// How fast to replay: max, or so many times as fast as it was recorded, such as 1x or 10x
    #[arg(long, value_name = "SPEED", value_parser = speed, default_value = "max", requires = "replay", conflicts_with_all = WITHOUT_REPLAY)]
    speed: Speed,
    /// In a replay, where to write the rows of sinks that would go over the network, a file of lines each;
    /// without it they go nowhere
    #[arg(long, value_name = "DIR", requires = "replay", conflicts_with_all = WITHOUT_REPLAY)]
    capture: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

/// Has the listener's token where no argument has it. It is read only to listen: it may be set for every run.
const TOKEN_VARIABLE: &str = "OMLSP_LISTEN_TOKEN";

/// What a replay and its options cannot be with.
const WITHOUT_REPLAY: [&str; 5] = ["record", "once", "replace", "plan", "listen"];

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "expected a duration such as 500ms, 90s, 5m or 1h".to_owned())
}

fn speed(text: &str) -> Result<Speed, String> {
    Speed::parse(text).ok_or_else(|| "expected max, or a factor such as 1x, 10x or 0.5x".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    /// Less than this and the engine cannot work.
    const BYTES_MIN: u64 = 64 << 20;
    parse_size(text)
        .filter(|bytes| *bytes >= BYTES_MIN)
        .ok_or_else(|| "expected a size of 64MiB or more, such as 512MiB or 4GiB".to_owned())
}

/// # Errors
/// Files that cannot be read, a state directory that is not ours to use.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    init_log(arguments.log_format, "info");
    let Some(record) = &arguments.replay else {
        return run_live(arguments);
    };
    let settings = replay::Settings {
        record,
        state_dir: arguments.state.named(),
        memory_bytes: arguments.memory_limit,
        speed: arguments.speed,
        capture: arguments.capture.as_deref(),
        run_for: arguments.run_for,
    };
    replay::run(&arguments.paths, &settings)
}

fn run_live(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let listener = bind(arguments)?;
    // While the files are read.
    begin_parser();
    let environment = Environment::of_process();
    let Some(ready) = prepare(arguments, &environment)? else {
        return Ok(Outcome::Failed);
    };
    let recorder = arguments.record.as_deref().map(Recorder::create);
    let recorder = recorder.transpose()?.map(Arc::new);
    let ended = run_ready(arguments, ready, (environment, listener), recorder.as_ref());
    if let (Err(_), Some(recorder)) = (&ended, recorder) {
        recorder.discard_unused();
    }
    ended
}

/// Brings the state in line and runs the pipeline.
fn run_ready(
    arguments: &Arguments,
    ready: Ready,
    (environment, listener): (Environment, Option<http::Bound>),
    recorder: Option<&Arc<Recorder>>,
) -> anyhow::Result<Outcome> {
    let Ready {
        sources,
        catalog,
        plan,
        mut opened,
        binder,
    } = ready;
    if !opened.apply((&plan, &sources), arguments)? {
        return Ok(Outcome::Done);
    }
    let vault = opened.vault(&environment);
    let is_new = opened.is_new;
    let Opened { dir, database, .. } = opened;
    // As there, it is closed before the directory is given up.
    let binder = binder;
    // Before the nodes prepare their statements, whose plans are made for so many threads.
    if plan.has_large_statements() {
        database.use_all_processors()?;
    }
    let shared = replay::recorded(database, &plan, recorder)?;
    let options = RunOptions {
        once: arguments.once,
        is_new,
        drain_timeout: arguments.drain_timeout,
    };
    let pipeline = Pipeline::new(sources, catalog, &plan);
    let runtime = Arc::new(Runtime::new(shared, plan, options)?);
    let interrupted = interrupted(arguments.run_for)?;
    let service = Service::running(Arc::clone(&runtime), pipeline, vault, environment);
    let started = start(runtime, service, dir.as_ref(), listener);
    // Nobody waits for that by now. Until here the engine's lists of tables have those it was checked with, too.
    drop(binder);
    let (runtime, server) = started?;
    tracing::info!(entities = runtime.plan().nodes.len(), "running");
    let progress = Progress::start(&runtime.shared);
    let ended = runtime.run(interrupted);
    drop(progress);
    drop(server);
    if let Some(recorder) = recorder {
        recorder.finish(runtime.shared.now())?;
    }
    // Somebody waits for the end of a run that reads once.
    if let (Ended::StateLost, Some(owned), false) = (ended, &dir, arguments.once) {
        return restart::wait_and_restart(owned);
    }
    let failed = ended != Ended::Well || (arguments.once && runtime.shared.board.errors() > 0);
    close(runtime);
    tracing::info!("stopped");
    Ok(if failed {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

/// What keeps a pipeline open to clients.
type Serving = (Option<Server>, Option<http::Listener>);

/// Starts the nodes, and then what clients need: nobody waits for that but them.
fn start(
    runtime: Arc<Runtime>,
    service: Service,
    dir: Option<&StateDir>,
    listener: Option<http::Bound>,
) -> anyhow::Result<(Arc<Runtime>, Serving)> {
    runtime.start()?;
    match serve(service, dir, listener) {
        Ok(serving) => Ok((runtime, serving)),
        Err(error) => {
            // What has begun ends in order.
            runtime.run(std::future::ready(()));
            close(runtime);
            Err(error)
        }
    }
}

/// Does some work while another thread reads something; returns what both give.
fn beside<W, T: Send>(
    read: impl FnOnce() -> anyhow::Result<T> + Send,
    work: impl FnOnce() -> anyhow::Result<W>,
) -> anyhow::Result<(W, T)> {
    thread::scope(|scope| {
        let reading = scope.spawn(read);
        let worked = work();
        let read = reading.join().expect("reading does not panic");
        Ok((worked?, read?))
    })
}

/// Closes the state, before the process ends: the last answers to clients have a share in it.
fn close(runtime: Arc<Runtime>) {
    const SHARES_WAIT_MAX: Duration = Duration::from_secs(5);
    let end = Instant::now() + SHARES_WAIT_MAX;
    while Arc::strong_count(&runtime) > 1 && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
    drop(runtime);
}

/// What is made of the binder while the state is opened.
enum Bound {
    Checked(Checked, Binder),
    /// The catalog is not whole yet.
    Binder(Binder),
}

/// A valid pipeline, and its state.
struct Ready {
    sources: SourceMap,
    catalog: Catalog,
    plan: Plan,
    opened: Opened,
    /// What a new state's pipeline was checked with: takes a while to close.
    binder: Option<Binder>,
}

/// Opens the state and checks the pipeline; `None` after its faults were printed.
fn prepare(arguments: &Arguments, environment: &Environment) -> anyhow::Result<Option<Ready>> {
    let mut sources = load::read(&arguments.paths)?;
    let (mut catalog, mut faults) = Catalog::of_files(&sources);
    faults.extend(catalog.commands.iter().map(|command| {
        Diagnostic::new(command.span, "a pipeline file only defines entities")
            .help("run this statement with `omlsp sql`")
    }));
    let had_state = !arguments.ephemeral && state_dir::has_state(&arguments.state.path());
    // Nothing of a new state belongs to the pipeline: it is checked while the state is made.
    let check = |binder: &Binder, listener: Listener<'_>| {
        check_with(binder, (&catalog, environment), faults.clone(), listener)
    };
    let asks = |file| asks_for_time(sources.text(file));
    let asks = sources.files().any(asks);
    let opened = Opened::open(arguments, asks, |binder, tables| match tables {
        Some(tables) => {
            // Who made them says why there are no more.
            let make = |node: &Node| drop(tables.send(state::tables_sql(node)));
            check(&binder, &make).map(|checked| Bound::Checked(checked, binder))
        }
        None => Ok(Bound::Binder(binder)),
    });
    let (opened, checked, binder) = match opened {
        Ok((opened, Bound::Checked(checked, binder))) => (Ok(opened), checked, Some(binder)),
        Ok((opened, Bound::Binder(binder))) => {
            // It is in the engine of the state, which must be closed before somebody else may own the directory.
            let binder = binder;
            let session = opened.database.session()?;
            let vault = opened.vault(environment);
            // What statements created belongs to the pipeline too.
            let advise = |sql: &str| arguments.state.sql_command(sql);
            server::add_created(
                &session,
                &vault,
                (&mut sources, &mut catalog),
                &mut faults,
                &advise,
            )?;
            let mut checked = check_with(&binder, (&catalog, environment), faults, &|_| ())?;
            server::advise_drop(&catalog, &mut checked.faults, &advise);
            (Ok(opened), checked, None)
        }
        // Faults of the pipeline come before those of a directory that nothing has been kept in.
        Err(error) if had_state => return Err(error),
        Err(error) => (Err(error), check(&Binder::new()?, &|_| ())?, None),
    };
    let Some(plan) = checked.plan else {
        load::print_faults(&sources, &checked.faults);
        return Ok(None);
    };
    Ok(Some(Ready {
        sources,
        catalog,
        plan,
        opened: opened?,
        binder,
    }))
}

/// Takes the address to listen on, before anything starts.
fn bind(arguments: &Arguments) -> anyhow::Result<Option<http::Bound>> {
    let Some(address) = arguments.listen else {
        return Ok(None);
    };
    let token = token(arguments.listen_token.as_deref());
    if token.is_none() && !address.ip().is_loopback() {
        let message = format!(
            "{address} can be reached from other machines: give a --listen-token, or {TOKEN_VARIABLE}\n"
        );
        clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, message).exit();
    }
    let options = http::Options {
        address,
        token: token.map(Secret::new),
        hosts: arguments.listen_host.clone(),
    };
    http::Bound::new(options).map(Some)
}

/// Returns the listener's token, if there is one: the argument, or else what the environment has.
fn token(given: Option<&str>) -> Option<String> {
    let token = match (given, std::env::var(TOKEN_VARIABLE)) {
        (Some(given), _) => given.to_owned(),
        (None, Ok(token)) => token,
        (None, Err(VarError::NotPresent)) => return None,
        (None, Err(VarError::NotUnicode(_))) => {
            let message = format!("{TOKEN_VARIABLE} is not UTF-8\n");
            clap::Error::raw(clap::error::ErrorKind::InvalidUtf8, message).exit();
        }
    };
    Some(token).filter(|token| !token.is_empty())
}

/// Opens the pipeline to clients: the control socket in the state directory, and the listener.
fn serve(
    service: Service,
    dir: Option<&StateDir>,
    listener: Option<http::Bound>,
) -> anyhow::Result<Serving> {
    let service = Arc::new(service);
    let server = match dir {
        Some(dir) => Some(Server::start(Arc::clone(&service), dir.path())?),
        None => None,
    };
    let listener = match listener {
        Some(bound) => {
            let address = bound.address();
            let listener = bound.serve(service)?;
            tracing::info!("watch it at http://{address}/");
            Some(listener)
        }
        None => None,
    };
    Ok((server, listener))
}

/// A state that is ours: in its directory, or in memory. Closed in the order of the fields.
struct Opened {
    /// In a state without anything, in whose transaction it gets what it keeps; the tables are there.
    founding: Option<Session>,
    database: Database,
    /// In a directory without a state before; nothing stays of it unless it is kept.
    new: Option<NewState>,
    dir: Option<StateDir>,
    /// Nothing has been kept in it before.
    is_new: bool,
}

impl Opened {
    /// Opens the state, and asks `then` with a binder beside it while that is made; for a new one also with who makes
    /// the tables of its entities. `asks_for_time` says what the files of the pipeline do; what else is in a state may
    /// too.
    fn open<T: Send>(
        arguments: &Arguments,
        asks_for_time: bool,
        then: impl FnOnce(Binder, Option<Sender<String>>) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<(Self, T)> {
        let (dir, new) = match arguments.ephemeral {
            true => (None, None),
            false => {
                let (dir, new) = StateDir::own_or_begin(&arguments.state)?;
                (Some(dir), new)
            }
        };
        let is_new = dir.is_none() || new.is_some();
        let path = dir.as_ref().map(StateDir::database);
        let (database, founding, answer) = open(
            path.as_deref(),
            arguments.memory_limit,
            (is_new, asks_for_time),
            then,
        )?;
        let opened = Self {
            founding,
            database,
            new,
            dir,
            is_new,
        };
        Ok((opened, answer))
    }

    /// Brings the state in line with a plan; false if what that comes to was only to be told.
    fn apply(
        &mut self,
        (plan, sources): (&Plan, &SourceMap),
        arguments: &Arguments,
    ) -> anyhow::Result<bool> {
        let founding = self.founding.take();
        let founds = founding.is_some();
        let session = founding.map_or_else(|| self.database.session(), Ok)?;
        let recorded = match self.is_new {
            true => Vec::new(),
            false => Ledger::new(&session).entities()?,
        };
        let steps = state::compare(&recorded, plan, arguments.replace)?;
        if !arguments.replace {
            state::refuse_left_out(&recorded, plan, sources)?;
        }
        if arguments.plan {
            super::print(&steps.render())?;
            return Ok(false);
        }
        let all: Vec<&Arc<Node>> = plan.nodes.iter().collect();
        match founds {
            true => session.end(state::record(&session, &all, true))?,
            false => state::apply(&session, plan, &steps)?,
        }
        if let Some(new) = self.new.take() {
            new.keep();
        }
        Ok(true)
    }

    fn vault(&self, environment: &Environment) -> Vault {
        // Nothing that is kept in memory only is encrypted.
        let folder = self.dir.as_ref().map_or(Path::new(""), StateDir::path);
        Vault::new(folder, environment)
    }
}

/// Opens the state, or one in memory without a path, and asks `then` as [`Opened::open`] does. Also returns the session
/// that founds a state which `is_new`.
fn open<T: Send>(
    path: Option<&Path>,
    memory_bytes: u64,
    (is_new, asks_for_time): (bool, bool),
    then: impl FnOnce(Binder, Option<Sender<String>>) -> anyhow::Result<T> + Send,
) -> anyhow::Result<(Database, Option<Session>, T)> {
    let opened = || {
        let database = Database::open_within(path, memory_bytes)?;
        let (make, tables) = channel::<String>();
        let make = is_new.then_some(make);
        // Statements may have created what asks, when there was a clock for it.
        let empty = || database.empty_beside(asks_for_time || !is_new);
        let bind = || then(Binder::over(empty()?)?, make);
        let (founding, answer) = beside(bind, || {
            if database.is_new() {
                let session = database.found_state(asks_for_time)?;
                if !is_new {
                    // Somebody has taken the database out of its directory.
                    return session.end(Ok(None));
                }
                for sql in tables {
                    session.execute_batch(&sql)?;
                }
                return Ok(Some(session));
            }
            // Nothing is written to a state that has it all: its disk may be full.
            if asks_for_time || database.has_given_clock()? {
                database.set_up_clock()?;
            }
            Ledger::new(&database.session()?).prepare()?;
            Ok(None)
        })?;
        anyhow::Ok((database, founding, answer))
    };
    match path {
        None => opened(),
        Some(path) => opened().with_context(|| {
            format!(
                "cannot use the state `{}` (put back a copy of it, or choose another --state-dir)",
                path.display()
            )
        }),
    }
}

/// Sends the log to stderr, filtered as `RUST_LOG` says, or else from the level `usual` on.
pub(super) fn init_log(format: LogFormat, usual: &str) {
    use tracing_subscriber::EnvFilter;
    // The clients' own traces would show whole URLs and headers, secrets included.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let capped = [
        "ureq=info",
        "ureq_proto=info",
        "rustls=info",
        "tungstenite=info",
        "async_tungstenite=info",
    ];
    let filter = capped.iter().fold(filter, |filter, directive| {
        filter.add_directive(directive.parse().expect("the directives are well formed"))
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It would complain on stderr, and panic where that is what is gone.
        .log_internal_errors(false);
    let set = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = set {
        super::say(format_args!("the log cannot be set up: {error}"));
    }
}
