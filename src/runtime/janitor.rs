//! Gives back what nobody needs any more: consumed batches, old errors. Sees on its rounds which sources are
//! idle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::door::{Door, Kind};
use super::shared::Shared;
use super::stream::Stream;
use crate::engine::Layout;

/// How often it looks. Deleting is cheap, but each is a commit.
const INTERVAL: Duration = Duration::from_millis(500);

/// Every how many rounds the errors are trimmed: they are few.
const ERRORS_EVERY: u32 = 120;

/// Runs until it is dropped.
pub async fn run(shared: Arc<Shared>, door: Door, streams: impl Fn() -> Vec<Arc<Stream>>) {
    let mut round: u32 = 0;
    loop {
        smol::Timer::after(INTERVAL).await;
        round = round.wrapping_add(1);
        let (shared, streams) = (Arc::clone(&shared), streams());
        look_idle(&streams);
        let errors = round.is_multiple_of(ERRORS_EVERY);
        let work = move || {
            if let Err(error) = trim(&shared, &streams, When::Between) {
                tracing::warn!("cannot delete what has been consumed: {error:#}");
            }
            if errors {
                shared.trim_errors();
            }
        };
        if let Err(error) = door.run(Kind::Engine, work).await {
            tracing::warn!("cannot delete what has been consumed: {error:#}");
        }
    }
}

/// Finds the sources that have become idle. What they held back may be anywhere below them.
fn look_idle(streams: &[Arc<Stream>]) {
    let now = Instant::now();
    let turned = streams.iter().filter(|stream| stream.look_idle(now));
    if turned.count() > 0 {
        streams.iter().for_each(|stream| stream.ring());
    }
}

/// When something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Between,
    /// Before the state is closed, when nobody writes any more.
    AtEnd,
}

/// At the end, a table through which so many rows have come is written anew.
const REWRITE_ROWS_MIN: u64 = 10_000;

/// Deletes the batches that every reader of a stream has taken.
///
/// # Errors
/// DuckDB's own.
pub fn trim(shared: &Shared, streams: &[Arc<Stream>], when: When) -> anyhow::Result<()> {
    let mut session = None;
    for stream in streams {
        let keep_latest = match stream.stored.layout {
            Layout::Append => continue,
            // `SELECT` reads the latest batch of a SOURCE.
            Layout::Passing => true,
            Layout::Changing => false,
        };
        let Some(taken) = stream.trimmable(keep_latest) else {
            continue;
        };
        let session = match &session {
            Some(session) => session,
            None => session.insert(shared.database.session()?),
        };
        let rewrites = when == When::AtEnd
            && keep_latest
            && taken.all_but_latest
            && stream.rows_come() >= REWRITE_ROWS_MIN;
        // Where it cannot be, for a client that reads, the rows are deleted.
        if rewrites && (session.execute_batch(&stream.stored.rewrite_sql(taken.seq))).is_ok() {
            continue;
        }
        let trimmed = session.execute(&stream.stored.trim_sql(), &[&i64::try_from(taken.seq)?]);
        // A relation may be dropped in between.
        if !stream.is_retired() {
            trimmed?;
        }
    }
    Ok(())
}
