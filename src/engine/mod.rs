//! DuckDB: open and seal a database, a session per node, bind, append, query, the state's tables.
//!
//! The only module besides [`crate::batch`] that names DuckDB. Knows nothing of connectors, nodes or
//! when things run: every call here blocks and belongs on a thread of the pool.

mod clock;
mod fault;
pub mod functions;
mod log;
mod pivot;
mod session;
pub mod shape;
pub mod syntax;
pub mod types;
mod windows;

mod changes;
mod ledger;
mod store;

pub use changes::{Change, RowsMissing, Stamp, apply_changes, candidates, replace_all, upsert};
pub use fault::SqlFault;
pub use ledger::{
    CommittedStream, ErrorRecord, Heads, Lane, Ledger, PAYLOAD_BYTES_MAX, RecordedEntity,
};
pub use log::NOTE_SUFFIX;
pub use session::{Interrupt, Session};
pub use store::{Layout, SEQ, Stored, TRIGGER, changing_columns, is_own_column};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;

pub use duckdb::ToSql as Param;
use duckdb::vtab::arrow::ArrowVTab;
use duckdb::{Config, Connection};

use clock::Time;
pub use clock::asks_for_time;
use log::Log;

/// The latest version of what the engine keeps in a state directory; a state of a newer one is refused. A state has the
/// oldest version that knows all that is in it.
pub const FORMAT_VERSION: i64 = 2;

/// The memory DuckDB may take for pages, hash tables and sorts, unless told otherwise. Its own default,
/// 80% of the machine, is what a state of many gigabytes would fill in the end. Beyond the bound it drops
/// pages and spills.
pub const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

/// One DuckDB database: a file, or in memory. Sealed: no SQL in it can touch files, the network or
/// extensions. Open one at a time per file: DuckDB does not guard against a second one in a process.
pub struct Database {
    root: Mutex<Connection>,
    path: Option<PathBuf>,
    /// What is not yet moved into the database.
    log: Option<Log>,
    /// Transactions that may be in the log.
    commits: Arc<AtomicU64>,
    time: Time,
    has_clock: Mutex<bool>,
    /// True if there was nothing in it when it was opened.
    new: bool,
    /// True for one without rows that another one's engine holds beside its own.
    beside: bool,
    /// Whether the engine may use all processors.
    all_processors: AtomicBool,
}

impl Database {
    /// Opens a database, in memory without a path, and seals it. It takes [`MEMORY_BYTES_DEFAULT`] at most.
    ///
    /// # Errors
    /// The file cannot be read or written, or is no DuckDB database.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let database = Self::open_within(path, MEMORY_BYTES_DEFAULT)?;
        database.set_up_clock()?;
        database.use_all_processors()?;
        Ok(database)
    }

    /// As [`Database::open`], with at most so many bytes of memory; what needs more goes to files beside
    /// the database, or fails where there is none. Until [`Database::use_all_processors`], it has one thread:
    /// small statements, as those of a start and of most nodes, take longer where threads share them. Before
    /// anything asks it what time it is, it needs [`Database::set_up_clock`].
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_within(path: Option<&Path>, memory_bytes: u64) -> anyhow::Result<Self> {
        // Its own default, four of them per processor, is for storage behind a network.
        let config =
            one_thread(Config::default())?.with("async_threads", processors().to_string())?;
        Self::open_as(path, memory_bytes, Time::System, config)
    }

    /// Opens a database in memory that is for names and types and never has rows: without an optimizer, and with
    /// one thread, which binds as fast as many and starts sooner.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_empty() -> anyhow::Result<Self> {
        let config = one_thread(Config::default())?
            .with("async_threads", "1")?
            .with("enable_optimizer", "false")?;
        let database = Self::open_as(None, MEMORY_BYTES_DEFAULT, Time::System, config)?;
        database.set_up_clock()?;
        Ok(database)
    }

    /// Makes what `now()` and its kin stand for in queries of this database, unless that has been done.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn set_up_clock(&self) -> anyhow::Result<()> {
        let mut has_clock = self.has_clock();
        if !*has_clock {
            let set_up = |session: &Session| clock::prepare(session, self.time, self.new);
            self.session()?.transaction(set_up)?;
            *has_clock = true;
        }
        Ok(())
    }

    /// Says whether a repeatable run has left its clock, which [`Database::set_up_clock`] takes away.
    ///
    /// # Errors
    /// The engine gives no session.
    pub fn has_given_clock(&self) -> anyhow::Result<bool> {
        Ok(self.session()?.check("FROM omlsp.clock").is_ok())
    }

    fn has_clock(&self) -> MutexGuard<'_, bool> {
        // It is noted when it is there, whatever comes after it.
        self.has_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what a state needs that has nothing in it, the engine's own tables and, unless that comes later, its
    /// `clock`, in a transaction of the session that is returned. Whoever adds what is kept in it ends that: it goes to
    /// the disk once.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn found_state(&self, clock: bool) -> anyhow::Result<Session> {
        let session = self.session()?;
        session.begin()?;
        if clock {
            clock::prepare(&session, self.time, self.new)?;
            *self.has_clock() = true;
        }
        Ledger::new(&session).begin()?;
        Ok(session)
    }

    /// Lets a statement run on as many threads as there are processors, from now on.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn use_all_processors(&self) -> anyhow::Result<()> {
        if self.all_processors.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let sql = format!("SET GLOBAL threads = {}", processors());
        let set = self
            .session()
            .and_then(|session| session.execute_batch(&sql));
        if set.is_err() {
            self.all_processors.store(false, Ordering::Relaxed);
        }
        set
    }

    /// Makes an empty database as that of [`Database::open_empty`] beside this one, in the same engine: to start
    /// another engine takes longer than to check a small pipeline. There can be one at a time. Without a
    /// `clock`, nothing in it may ask what time it is.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn empty_beside(&self, clock: bool) -> anyhow::Result<Self> {
        let root = self.lock().try_clone()?;
        root.execute_batch(&format!("ATTACH ':memory:' AS {BESIDE}"))?;
        let empty = Self {
            root: Mutex::new(root),
            path: None,
            log: None,
            commits: Arc::default(),
            time: Time::System,
            has_clock: Mutex::default(),
            new: true,
            beside: true,
            all_processors: AtomicBool::new(false),
        };
        if clock {
            empty.set_up_clock()?;
        }
        Ok(empty)
    }

    /// As [`Database::open_within`], for a run that is the same every time: queries see the instant given to
    /// [`Session::set_clock`], chance has a seed, and one thread gives rows and sums the same order.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_repeatable(path: Option<&Path>, memory_bytes: u64) -> anyhow::Result<Self> {
        let config = one_thread(Config::default())?;
        let database = Self::open_as(path, memory_bytes, Time::Given, config)?;
        database.set_up_clock()?;
        Ok(database)
    }

    fn open_as(
        path: Option<&Path>,
        memory_bytes: u64,
        time: Time,
        config: Config,
    ) -> anyhow::Result<Self> {
        begin_parser();
        let config = match path {
            // Nothing of a database in memory may land in the working directory.
            None => config.with("temp_directory", "")?,
            Some(_) => config,
        };
        let config = SEAL
            .iter()
            .try_fold(config, |config, (name, value)| config.with(name, *value))?;
        let config = config.with("memory_limit", format!("{memory_bytes}B"))?;
        let new = path.is_none_or(|path| !path.exists());
        let commits = path.map_or(Ok(0), |path| Log::of(path).take_note(new))?;
        let root = match path {
            // Sealed, the engine reaches the log beside the file only where that is, not beside a link to it.
            Some(path) => {
                let real = path.canonicalize();
                open_file(real.as_deref().unwrap_or(path), config)?
            }
            None => Connection::open_in_memory_with_flags(config)?,
        };
        // The file is there by now, wherever a link to it leads.
        let log = path.map(Log::of);
        // What is to be done with the log at the end is decided then.
        root.execute_batch(
            "PRAGMA disable_checkpoint_on_shutdown; SET GLOBAL lock_configuration = true",
        )?;
        // The catalog it lands in is that of all connections.
        root.register_table_function::<ArrowVTab>("arrow")?;
        Ok(Self {
            root: Mutex::new(root),
            path: path.map(Path::to_owned),
            log,
            commits: Arc::new(commits.into()),
            time,
            has_clock: Mutex::default(),
            new,
            beside: false,
            all_processors: AtomicBool::new(false),
        })
    }

    /// Says whether there was nothing in it when it was opened.
    pub fn is_new(&self) -> bool {
        self.new
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the bytes of the log that are not moved into the database yet; none in memory.
    pub fn log_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::bytes)
    }

    /// Opens a session: its own transactions, temporary tables and settings over the same data.
    ///
    /// # Errors
    /// DuckDB cannot open another connection (out of memory).
    pub fn session(&self) -> anyhow::Result<Session> {
        let session = Session::new(self.lock().try_clone()?, &self.commits);
        if self.beside {
            session.execute_batch(&format!(
                "USE {BESIDE}; SET SESSION enable_optimizer = false;"
            ))?;
        }
        if self.time == Time::Given {
            session.execute("SELECT setseed(0.5)", &[])?;
        }
        Ok(session)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.root.lock().expect("no panic happens under this lock")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let root = self.root.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.beside
            && let Err(error) = root.execute_batch(&format!("DETACH {BESIDE}"))
        {
            tracing::debug!(%error, "what names and types were checked in stays until the end");
        }
        let Some(log) = &self.log else {
            return;
        };
        let commits = self.commits.load(Ordering::Relaxed);
        if log.is_slow_to_read(commits)
            && let Err(error) = root.execute_batch("CHECKPOINT")
        {
            tracing::warn!(%error, "the log is left to the next start");
        }
        log.leave_note(commits);
    }
}

/// The name of an empty database that another one's engine holds beside its own.
const BESIDE: &str = "omlsp_beside";

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Begins to make the engine's parser, on a thread of its own while the rest of the engine starts. DuckDB 2.0 reads
/// and compiles its grammar when something is parsed for the first time in a process, which is a third of a start, and
/// reads it again for its keywords when a name is first put in quotes.
pub fn begin_parser() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // The value of this option is parsed without a database, and refused with its name of a member in quotes.
        let parse = || drop(Config::default().with("force_variant_shredding", "UNION(a INTEGER)"));
        let begun = thread::Builder::new()
            .name("grammar".to_owned())
            .spawn(parse);
        if let Err(error) = begun {
            tracing::debug!(%error, "the parser is made when it is needed");
        }
    });
}

fn one_thread(config: Config) -> duckdb::Result<Config> {
    config.with("threads", "1")
}

/// Opens a file and removes what a killed process spilled beside it: the file's lock says that nobody
/// else has it open.
fn open_file(path: &Path, config: Config) -> anyhow::Result<Connection> {
    let root = Connection::open_with_flags(path, config).map_err(|error| {
        let fault = match error {
            duckdb::Error::DuckDBFailure(_, Some(text)) => SqlFault::of(&text),
            other => SqlFault::of(&other.to_string()),
        };
        anyhow::Error::from(fault)
    })?;
    let mut spilled = path.as_os_str().to_owned();
    spilled.push(".tmp");
    match std::fs::remove_dir_all(&spilled) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %spilled.display(), %error, "cannot remove temporary files of an earlier run");
        }
        _ => {}
    }
    Ok(root)
}

/// The settings of every database, which no SQL can change afterwards.
///
/// The optimizer `late_materialization` looks rows up by their number, which is not safe in 2.0.0 (`changes.rs`).
/// `common_subplan` takes some parts of a plan that read other columns for the same there, and gives wrong rows: of
/// a join of a query with itself, for one (`tests/maintain/known.rs`). `row_group_pruner` counts rows that are deleted
/// where it looks for the first rows of an order, and leaves out those that are.
///
/// After the lock, sessions may still leave the optimizer out, and the threads become as many as the processors.
const SEAL: &[(&str, &str)] = &[
    ("autoload_known_extensions", "false"),
    ("autoinstall_known_extensions", "false"),
    ("allow_persistent_secrets", "false"),
    (
        "disabled_optimizers",
        "common_subplan,late_materialization,row_group_pruner",
    ),
    ("preserve_insertion_order", "true"),
    ("errors_as_json", "true"),
    ("enable_external_access", "false"),
    ("allowed_configs", "['enable_optimizer', 'threads']"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_database_behind_a_link_can_be_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        for round in 0..3 {
            let path = if round == 0 { &real } else { &link };
            let database = Database::open(Some(path)).unwrap();
            let session = database.session().unwrap();
            let sql = format!("CREATE TABLE t{round} AS SELECT 1 AS a");
            session.execute_batch(&sql).unwrap();
            drop((session, database));
            if round == 0 {
                std::os::unix::fs::symlink(&real, &link).unwrap();
            }
        }
        let database = Database::open(Some(&real)).unwrap();
        let sql = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 't_'";
        let count = database.session().unwrap().number(sql, &[]).unwrap();
        assert_eq!(count, Some(3));
    }

    /// With DuckDB 2.0.0's `row_group_pruner` it is the row 2.
    #[test]
    fn the_first_row_of_an_order_is_found_behind_one_that_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(Some(&folder.path().join("state"))).unwrap();
        let session = database.session().unwrap();
        session
            .execute_batch(
                "CREATE TABLE u (id BIGINT, w INTEGER); INSERT INTO u VALUES (1, 0), (2, 5); CHECKPOINT; \
                 BEGIN; DELETE FROM u WHERE id = 1; INSERT INTO u VALUES (1, 1); COMMIT",
            )
            .unwrap();
        let first = session.number("SELECT id FROM u ORDER BY w LIMIT 1", &[]);
        assert_eq!(first.unwrap(), Some(1));
    }
}
