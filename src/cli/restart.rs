//! The process in place of itself, after the engine gave the database up.
//!
//! DuckDB does nothing more with a database once a checkpoint has failed half-way, which is what a full
//! disk comes to. What was committed is safe, but a second opening of the file in the same process would
//! not be, as long as any thread has the first. So the process waits for room and then runs its own binary
//! anew: same arguments, same process id, no thread left.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Outcome;
use super::state_dir::StateDir;

/// Between two tries; also the least time between two starts.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon a signal is seen.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The room that must be there beyond what the log already holds, since moving the log into the database
/// takes that much again: as much as the log grows to before it is moved.
const ROOM_BYTES: u64 = 16 << 20;

/// Waits until the state directory has room, then runs this binary anew. Returns if a signal comes before.
///
/// # Errors
/// The system does not run the binary.
pub fn wait_and_restart(owned: &StateDir) -> anyhow::Result<Outcome> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let mut told = false;
    let log = owned.log();
    loop {
        let end = Instant::now() + PAUSE;
        while Instant::now() < end {
            if stopped.load(Ordering::SeqCst) {
                return Ok(Outcome::Failed);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let logged = log.metadata().map_or(0, |file| file.len());
        match probe(&owned.room(), logged + ROOM_BYTES) {
            Ok(()) => break,
            Err(error) if !told => {
                tracing::error!("waiting for room for the state, then starting again: {error}");
                told = true;
            }
            Err(error) => tracing::debug!("still no room for the state: {error}"),
        }
    }
    tracing::info!("there is room; starting again");
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).exec();
    Err(error).context("cannot start again")
}

/// Writes so many bytes and takes them away again.
fn probe(path: &Path, bytes: u64) -> std::io::Result<()> {
    let written = write(path, bytes);
    let removed = std::fs::remove_file(path);
    written.and(removed)
}

fn write(path: &Path, bytes: u64) -> std::io::Result<()> {
    // Not a hole: what is not written takes no room.
    let piece = vec![0; 1 << 20];
    let mut file = File::create(path)?;
    for _ in 0..bytes.div_ceil(piece.len() as u64) {
        file.write_all(&piece)?;
    }
    file.sync_all()
}
