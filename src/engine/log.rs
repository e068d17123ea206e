//! The log of a database from the end of one process to the start of the next.
//!
//! To move a log of few transactions into the database takes longer than to read it at the next start, and most often
//! comes later anyway, with more: such a one is left. Its size is noted in a file beside, so that a database without
//! its log, or with a part of it, is not taken for whole. A process that is killed leaves no note.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A log of more is moved into the database at the end. To read a megabyte takes DuckDB 3 ms, a third of what it takes
/// to move it; to read a transaction, however small, 0.04 ms.
const LEFT_BYTES_MAX: u64 = 8 << 20;
const LEFT_COMMITS_MAX: u64 = 100;

/// No transaction takes less of the log.
const COMMIT_BYTES_MIN: u64 = 128;

/// What the name of the database has behind it, as a note's.
pub const NOTE_SUFFIX: &str = ".closed";

/// Where the engine writes the log of a database.
pub(super) struct Log {
    path: PathBuf,
    note: PathBuf,
}

impl Log {
    /// Returns that of a database: beside the file, not beside a link to it.
    pub fn of(database: &Path) -> Self {
        let real = database.canonicalize();
        let real = real.as_deref().unwrap_or(database);
        let beside = |suffix: &str| {
            let mut path = real.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        Self {
            path: beside(".wal"),
            note: beside(NOTE_SUFFIX),
        }
    }

    /// Returns the bytes that are not moved into the database yet.
    pub fn bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |file| file.len())
    }

    /// Says whether the next start would wait for it, with so many transactions in it.
    pub fn is_slow_to_read(&self, commits: u64) -> bool {
        let bytes = self.bytes();
        bytes > LEFT_BYTES_MAX || (bytes > 0 && commits > LEFT_COMMITS_MAX)
    }

    /// Takes the note of the process before, once its log is known to be there; that of a database that is gone, since
    /// there is a `new` one, is of no use. Returns how many transactions the log has, or may have.
    ///
    /// # Errors
    /// There is less of it, or the note cannot be taken away.
    pub fn take_note(&self, new: bool) -> anyhow::Result<u64> {
        let bytes = self.bytes();
        let text = match std::fs::read_to_string(&self.note) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(bytes / COMMIT_BYTES_MIN);
            }
            text => text.with_context(|| format!("cannot read `{}`", self.note.display()))?,
        };
        let mut numbers = text
            .split_whitespace()
            .map(|number| number.parse().unwrap_or(0));
        let (left, commits) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        anyhow::ensure!(
            new || bytes >= left,
            "its log `{}` has {bytes} bytes of the {left} that it was closed with: put it back beside the database, \
             which is not whole without it (or remove `{}`, to go on with what there is)",
            self.path.display(),
            self.note.display()
        );
        std::fs::remove_file(&self.note)
            .with_context(|| format!("cannot remove `{}`", self.note.display()))?;
        Ok(if new { 0 } else { commits })
    }

    /// Notes what is left, when nobody writes any more.
    pub fn leave_note(&self, commits: u64) {
        let bytes = self.bytes();
        if bytes == 0 {
            return;
        }
        if let Err(error) = std::fs::write(&self.note, format!("{bytes} {commits}\n")) {
            tracing::debug!(%error, "the size of the log is not noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::engine::Database;

    use super::*;

    fn rows(database: &Database) -> Option<i64> {
        let session = database.session().unwrap();
        session.number("SELECT count(*) FROM t", &[]).unwrap()
    }

    fn run(database: &Database, sql: &str) {
        database.session().unwrap().execute_batch(sql).unwrap();
    }

    /// Makes a database with a table of a thousand rows, which are in its log, and returns that.
    fn with_log(path: &Path) -> Log {
        let database = Database::open(Some(path)).unwrap();
        run(&database, "CREATE TABLE t AS FROM range(1000)");
        drop(database);
        let log = Log::of(path);
        assert!(log.bytes() > 0 && log.note.exists());
        log
    }

    #[test]
    fn a_small_log_is_left_at_the_end_and_a_large_one_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let log = with_log(&path);
        let database = Database::open(Some(&path)).unwrap();
        assert_eq!((rows(&database), log.note.exists()), (Some(1000), false));
        while !log.is_slow_to_read(0) {
            run(&database, "INSERT INTO t FROM range(50_000)");
        }
        let all = rows(&database);
        drop(database);
        assert_eq!((log.bytes(), log.note.exists()), (0, false));
        assert_eq!(rows(&Database::open(Some(&path)).unwrap()), all);
    }

    #[test]
    fn a_log_of_many_transactions_is_moved_however_small_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let log = with_log(&path);
        let insert = |count: u64| {
            let database = Database::open(Some(&path)).unwrap();
            let session = database.session().unwrap();
            for _ in 0..count {
                let sql = "INSERT INTO t VALUES (1)";
                session
                    .transaction(|session| session.execute_batch(sql))
                    .unwrap();
            }
        };
        insert(LEFT_COMMITS_MAX / 2);
        assert!(log.bytes() > 0);
        insert(LEFT_COMMITS_MAX / 2 + 1);
        assert_eq!((log.bytes(), log.note.exists()), (0, false));
        let left = i64::try_from(1000 + LEFT_COMMITS_MAX + 1).unwrap();
        assert_eq!(rows(&Database::open(Some(&path)).unwrap()), Some(left));
    }

    #[test]
    fn a_database_without_the_log_it_was_closed_with_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let log = with_log(&path);
        let whole = fs::read(&log.path).unwrap();
        let refused = |log: Option<&[u8]>| {
            let wal = path.with_extension("wal");
            match log {
                Some(bytes) => fs::write(wal, bytes).unwrap(),
                None => fs::remove_file(wal).unwrap(),
            }
            let error = Database::open(Some(&path)).map(drop).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains("that it was closed with"), "{text}");
        };
        refused(None);
        refused(Some(&whole[..whole.len() - 1]));
        fs::write(&log.path, &whole).unwrap();
        assert_eq!(rows(&Database::open(Some(&path)).unwrap()), Some(1000));
        // As its message says, whoever has no log any more may go on without.
        fs::remove_file(&log.path).unwrap();
        fs::remove_file(&log.note).unwrap();
        let database = Database::open(Some(&path)).unwrap();
        assert!(database.session().unwrap().check("FROM t").is_err());
        run(&database, "CREATE TABLE u AS FROM range(1)");
        drop(database);
        // Nor is a database that was removed missed.
        fs::remove_file(&path).unwrap();
        fs::remove_file(&log.path).unwrap();
        assert!(Database::open(Some(&path)).unwrap().is_new());
    }

    #[test]
    fn a_killed_process_leaves_no_note_to_be_held_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("state"), folder.path().join("copy"));
        let log = with_log(&path);
        let database = Database::open(Some(&path)).unwrap();
        run(&database, "INSERT INTO t FROM range(10)");
        fs::copy(&path, &copy).unwrap();
        let copied = Log::of(&copy);
        fs::copy(&log.path, &copied.path).unwrap();
        assert!(!log.note.exists() && !copied.note.exists());
        assert_eq!(rows(&Database::open(Some(&copy)).unwrap()), Some(1010));
    }
}
