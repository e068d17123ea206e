//! One quiet line on the terminal while something long runs; nothing where stderr is not a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::connector::Stop;
use crate::runtime::{Shared, Status};

/// Work that takes less is not worth a line.
const LONG: Duration = Duration::from_secs(2);

const INTERVAL: Duration = Duration::from_millis(250);

/// Erases the line the cursor is on (ECMA-48, EL).
const ERASE: &str = "\r\x1b[2K";

/// Shows the line until it is dropped.
pub struct Progress {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    pub fn start(shared: &Arc<Shared>) -> Self {
        let stop = Stop::default();
        let thread = std::io::stderr().is_terminal().then(|| {
            let (shared, stop) = (Arc::clone(shared), stop.clone());
            std::thread::spawn(move || show(&shared, &stop))
        });
        Self { stop, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::debug!("the progress line panicked");
        }
    }
}

fn show(shared: &Shared, stop: &Stop) {
    let mut shown = false;
    while stop.wait(INTERVAL).is_ok() {
        let line = shared.board.busiest().and_then(|(name, since, status)| {
            let busy = (shared.now() - since).to_std().unwrap_or_default();
            (busy >= LONG).then(|| line(&name, busy, &status))
        });
        match &line {
            Some(line) => write(&format!("{ERASE}{line}")),
            None if shown => write(ERASE),
            None => {}
        }
        shown = line.is_some();
    }
    if shown {
        write(ERASE);
    }
}

fn line(name: &str, busy: Duration, status: &Status) -> String {
    let mut line = format!("{name}: {} s", busy.as_secs());
    for (count, unit) in [
        (status.requests.load(Relaxed), "requests"),
        (status.rows_in.load(Relaxed), "rows"),
        (status.bytes.load(Relaxed) / 1_000_000, "MB"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {unit}"));
        }
    }
    line
}

/// A terminal that is gone is no reason to stop.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    if stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush())
        .is_err()
    {
        tracing::debug!("the terminal is gone");
    }
}
