//! The state directory: where it is, and who owns it.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::engine::NOTE_SUFFIX;

/// The directory used when none is named.
const DEFAULT: &str = ".omlsp";

/// The file in it that its owner locks.
const OWNER: &str = "owner";

/// The database in it.
const DATABASE: &str = "state.duckdb";

/// What is not yet moved into the database.
const LOG: &str = "state.duckdb.wal";

/// A file that is written to see whether there is room.
const ROOM: &str = "room";

/// Where the state is.
#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The state directory; without a value, or without the option and OMLSP_STATE_DIR, `.omlsp`
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = false, default_missing_value = DEFAULT)]
    state_dir: Option<PathBuf>,
}

impl Arguments {
    /// Returns the directory named on the command line, if one is.
    pub fn named(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }

    /// Returns the command that executes a statement in this state, for a shell.
    pub fn sql_command(&self, sql: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let option = match self.named() {
            Some(path) => format!(" --state-dir {}", quoted(&path.display().to_string())),
            None => String::new(),
        };
        format!("omlsp sql{option} {}", quoted(sql))
    }

    pub fn path(&self) -> PathBuf {
        let given = self.state_dir.clone();
        given
            .or_else(|| std::env::var_os("OMLSP_STATE_DIR").map(PathBuf::from))
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or_else(|| PathBuf::from(DEFAULT))
    }
}

/// A state directory that this process owns, until it is dropped or the process ends in any way: the
/// lock is the system's, so a killed owner leaves none behind.
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the directory if need be and takes its lock.
    ///
    /// # Errors
    /// Another process owns it (named by its id), or the directory cannot be written.
    pub fn own(arguments: &Arguments) -> anyhow::Result<Self> {
        let path = arguments.path();
        if let Some(owned) = Self::try_own(&path)? {
            return Ok(owned);
        }
        let owner = owner(&path).map_or_else(String::new, |id| format!(" (process {id})"));
        anyhow::bail!(
            "the state directory `{}` is in use by another omlsp{owner}; stop it, or choose another --state-dir",
            path.display()
        );
    }

    /// As [`StateDir::own`], and says what is new if there was no state in it.
    ///
    /// # Errors
    /// As [`StateDir::own`].
    pub fn own_or_begin(arguments: &Arguments) -> anyhow::Result<(Self, Option<NewState>)> {
        let path = arguments.path();
        let missing =
            (path.ancestors()).take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let directories: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        let owned = Self::own(arguments)?;
        let new = (!has_state(&path)).then(|| NewState {
            database: owned.database(),
            directories,
            kept: false,
        });
        Ok((owned, new))
    }

    /// As [`StateDir::own`]; `None` if another process owns it.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn try_own(path: &Path) -> anyhow::Result<Option<Self>> {
        create_private(path)
            .with_context(|| format!("cannot create the state directory `{}`", path.display()))?;
        refuse_lone_database(path)?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(OWNER))
            .with_context(|| format!("cannot write to the state directory `{}`", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                let message = format!("cannot lock the state directory `{}`", path.display());
                return Err(anyhow::Error::from(error).context(message));
            }
        }
        // An owner that was killed while it looked for room has left it.
        match std::fs::remove_file(path.join(ROOM)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), "`{ROOM}` cannot be removed from the state directory: {error}");
            }
            _ => {}
        }
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Some(Self {
            path: path.to_owned(),
            _lock: lock,
        }))
    }

    /// Returns the path of the database.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Returns the path of its log.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Returns the path of a file that may be written to see whether there is room, and taken away again.
    pub fn room(&self) -> PathBuf {
        self.path.join(ROOM)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A state that is being made in an owned directory: dropped without [`NewState::keep`] it is removed again, with
/// the directories that were made for it.
pub struct NewState {
    database: PathBuf,
    /// The innermost first.
    directories: Vec<PathBuf>,
    kept: bool,
}

impl NewState {
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewState {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let files = [DATABASE, LOG, &format!("{DATABASE}{NOTE_SUFFIX}"), OWNER]
            .map(|name| self.database.with_file_name(name));
        let removed = files
            .iter()
            .try_for_each(|file| match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            });
        // A directory in which something else is by now stays.
        let removed =
            removed.and_then(|()| self.directories.iter().try_for_each(std::fs::remove_dir));
        if let Err(error) = removed {
            tracing::debug!(%error, "what was begun of a state stays");
        }
    }
}

/// Says whether a directory holds a state.
pub fn has_state(path: &Path) -> bool {
    path.join(DATABASE).is_file()
}

/// Returns the process id that the owner of a directory wrote down.
pub fn owner(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path.join(OWNER))
        .ok()?
        .read_to_string(&mut text)
        .ok()?;
    text.trim().parse().ok()
}

/// Refuses a database that somebody has put into a directory without its log, as long as everything was in that.
fn refuse_lone_database(path: &Path) -> anyhow::Result<()> {
    /// Its heads, and nothing that was ever moved from a log.
    const EMPTY_BYTES: u64 = 3 * 4096;
    let database = path.join(DATABASE);
    let alone = !path.join(OWNER).exists() && !path.join(LOG).exists();
    let empty = database
        .metadata()
        .is_ok_and(|file| file.len() <= EMPTY_BYTES);
    anyhow::ensure!(
        !(alone && empty),
        "`{}` has nothing in it: copy its log `{LOG}` too, best the whole state directory",
        database.display()
    );
    Ok(())
}

fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}
