//! A stream while it runs: its latest batch, who is waiting for more, and how far each consumer is.
//!
//! The rows themselves are in the state; what travels through the pipes is only that there is more. So
//! a pipe needs room for a single message, a slow consumer holds nobody up, and reading after a restart
//! is the same as reading at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, TrySendError};

use super::tide::Tide;
use crate::engine::{Layout, Stored};

/// The rows a consumer that works may be behind before the source waits for it: enough to let it work in
/// large pieces, few enough to keep the state small.
pub const BACKLOG_ROWS_MAX: u64 = 1_000_000;

/// The rows a consumer that keeps failing may be behind: an hour of a fast stream, so that the others go
/// on meanwhile.
pub const BACKLOG_ROWS_FAILING_MAX: u64 = 100_000_000;

/// The batches whose size is kept in memory, so that a consumer that keeps up need not ask the state.
const RECENT_BATCHES_MAX: usize = 1024;

/// One numbered batch of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNote {
    pub seq: u64,
    pub rows: u64,
    pub trigger_us: i64,
}

/// How far a consumer has come.
#[derive(Clone, Copy, Debug)]
struct Reader {
    seq: u64,
    /// Rows taken since the start, counted so that the difference to the stream's is what it lacks.
    rows: i64,
    failing: bool,
    keeps: Keeps,
}

/// What a reader still needs of the batches it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Nothing,
    /// Those after this number: rows of windows that are open.
    After(u64),
    /// All of them, again and again.
    All,
}

impl Reader {
    /// Returns the number up to which it needs nothing any more; `None` if it needs everything.
    fn done(&self) -> Option<u64> {
        match self.keeps {
            Keeps::Nothing => Some(self.seq),
            Keeps::After(seq) => Some(seq.min(self.seq)),
            Keeps::All => None,
        }
    }
}

/// The batches that every reader has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The last of them.
    pub seq: u64,
    /// Only the latest batch stays.
    pub all_but_latest: bool,
}

/// A numbered sequence of batches with its readers.
pub struct Stream {
    pub stored: Stored,
    head: AtomicU64,
    shared: Mutex<Shared>,
}

/// A batch with the rows of all batches since the start, its own included.
#[derive(Clone, Copy, Debug)]
struct Recent {
    note: BatchNote,
    rows_total: i64,
}

#[derive(Default)]
struct Shared {
    doorbells: Vec<Sender<()>>,
    readers: HashMap<String, Reader>,
    /// Who only looks on, by number, and up to which batch: nothing waits for them, and what they have not
    /// seen is kept for as long as memory knows its batches.
    onlookers: HashMap<u64, u64>,
    onlookers_ever: u64,
    recent: std::collections::VecDeque<Recent>,
    /// Rows of all batches since the start.
    rows: i64,
    trimmed: u64,
    tide: Tide,
    /// No more batches come.
    closed: bool,
    /// Its tables are gone, or about to go.
    retired: bool,
}

impl Stream {
    pub fn new(stored: Stored, head: u64) -> Self {
        Self {
            stored,
            head: AtomicU64::new(head),
            shared: Mutex::default(),
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared
            .lock()
            .expect("no panic happens under this lock")
    }

    /// Returns the number of the latest committed batch.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Notes a batch that has been committed and wakes the readers.
    pub fn advance(&self, note: BatchNote) {
        let mut shared = self.shared();
        self.head.store(note.seq, Ordering::Release);
        shared.rows += i64::try_from(note.rows).unwrap_or(i64::MAX);
        let rows_total = shared.rows;
        shared.recent.push_back(Recent { note, rows_total });
        if shared.recent.len() > RECENT_BATCHES_MAX {
            shared.recent.pop_front();
        }
        shared.tide.wake();
        shared.ring();
    }

    /// Notes the watermark after the batch `seq`, and wakes the readers if it moved.
    pub fn set_watermark(&self, seq: u64, watermark: i64) {
        let mut shared = self.shared();
        if shared.tide.rise(seq, watermark) {
            shared.ring();
        }
    }

    /// Returns the watermark after the batch `seq`, in microseconds; [`super::tide::UNKNOWN`] before any.
    pub fn watermark_at(&self, seq: u64) -> i64 {
        self.shared().tide.at(seq)
    }

    pub fn set_idle_timeout(&self, timeout: Option<Duration>) {
        self.shared().tide.set_idle_timeout(timeout);
    }

    /// Notes the streams that this one is made of.
    pub fn set_upstream(&self, upstream: Vec<Arc<Self>>) {
        self.shared().tide.set_upstream(upstream);
    }

    /// Notes that the source has ended for good, as opposed to being stopped.
    pub fn end(&self) {
        let mut shared = self.shared();
        shared.tide.end();
        shared.ring();
    }

    pub fn is_ended(&self) -> bool {
        self.shared().tide.is_ended()
    }

    /// Notes that the source is idle by another clock than the system's; returns true if it was not before.
    pub fn sleep(&self) -> bool {
        self.shared().tide.sleep()
    }

    /// Notes whether no rows have come for the timeout; returns true if that is new.
    pub fn look_idle(&self, now: Instant) -> bool {
        self.shared().tide.look(now)
    }

    /// Says whether nothing has come for the timeout of the source, or of each source under a relation.
    pub fn is_idle(&self) -> bool {
        let upstream = {
            let shared = self.shared();
            if shared.tide.upstream().is_empty() {
                return shared.tide.is_idle();
            }
            shared.tide.upstream().to_vec()
        };
        upstream.iter().all(|stream| stream.is_idle())
    }

    /// Wakes the readers: something other than a batch is new.
    pub fn ring(&self) {
        self.shared().ring();
    }

    /// Adds a pipe that is rung at each batch, and closed when the stream ends.
    pub fn subscribe(&self, bell: Sender<()>) {
        let mut shared = self.shared();
        // On a closed stream the pipe is dropped here: its reader takes what is there and ends.
        if !shared.closed {
            shared.doorbells.push(bell);
        }
    }

    /// Opens the stream, as it may have been closed before: whoever makes it begins again.
    pub fn open(&self) {
        let mut shared = self.shared();
        shared.closed = false;
        shared.tide.go_on();
    }

    /// Ends the stream: its readers take what is there and end too.
    pub fn close(&self) {
        let mut shared = self.shared();
        shared.closed = true;
        shared.doorbells.clear();
    }

    /// Notes that the relation is dropped: nothing is to be deleted from its tables any more.
    pub fn retire(&self) {
        self.shared().retired = true;
    }

    pub fn is_retired(&self) -> bool {
        self.shared().retired
    }

    /// Adds a reader at its committed position, `pending` rows behind.
    pub fn add_reader(&self, name: &str, seq: u64, pending: u64, keeps: Keeps) {
        let mut shared = self.shared();
        let reader = Reader {
            seq,
            rows: shared.rows - i64::try_from(pending).unwrap_or(i64::MAX),
            failing: false,
            keeps,
        };
        shared.readers.insert(name.to_owned(), reader);
    }

    pub fn remove_reader(&self, name: &str) {
        self.shared().readers.remove(name);
    }

    /// Notes that a reader has committed up to `seq`, `rows` more than before as far as it knows: one
    /// that read the content as a whole has not counted the batches it is made of.
    pub fn reader_at(&self, name: &str, seq: u64, rows: u64) {
        let mut shared = self.shared();
        let known = if seq >= self.head() {
            Some(shared.rows)
        } else {
            shared.rows_up_to(seq)
        };
        if let Some(reader) = shared.readers.get_mut(name) {
            let counted = reader.rows + i64::try_from(rows).unwrap_or(i64::MAX);
            reader.seq = seq;
            reader.rows = known.unwrap_or(counted);
            reader.failing = false;
        }
    }

    /// Notes what a reader still needs of what it has taken.
    pub fn reader_keeps(&self, name: &str, keeps: Keeps) {
        if let Some(reader) = self.shared().readers.get_mut(name) {
            reader.keeps = keeps;
        }
    }

    /// Notes that a reader cannot go on for now.
    pub fn reader_failing(&self, name: &str) {
        if let Some(reader) = self.shared().readers.get_mut(name) {
            reader.failing = true;
        }
    }

    /// Returns name, position and missing rows of each reader.
    pub fn readers(&self) -> Vec<(String, u64, u64)> {
        let shared = self.shared();
        let lag = |reader: &Reader| u64::try_from(shared.rows - reader.rows).unwrap_or(0);
        (shared.readers.iter())
            .map(|(name, reader)| (name.clone(), reader.seq, lag(reader)))
            .collect()
    }

    /// Says which reader is so far behind that the source has to wait for it.
    pub fn overfull(&self) -> Option<String> {
        let shared = self.shared();
        let (name, _) = shared.readers.iter().find(|(_, reader)| {
            let bound = if reader.failing {
                BACKLOG_ROWS_FAILING_MAX
            } else {
                BACKLOG_ROWS_MAX
            };
            u64::try_from(shared.rows - reader.rows).unwrap_or(0) > bound
                && reader.keeps != Keeps::All
        })?;
        Some(name.clone())
    }

    /// Returns the batches after `from` that are kept, as far as memory has them without a gap, oldest first.
    pub fn recent_after(&self, from: u64) -> Option<Vec<BatchNote>> {
        let shared = self.shared();
        // Whoever is new begins behind what nobody needed any more.
        let from = from.max(shared.trimmed);
        let first = shared.recent.front()?.note;
        (first.seq <= from + 1).then(|| {
            let notes = shared.recent.iter().map(|recent| recent.note);
            notes.filter(|note| note.seq > from).collect()
        })
    }

    /// Adds somebody who only looks on, from the next batch on; returns their number and the latest batch.
    pub fn look_on(&self) -> (u64, u64) {
        let mut shared = self.shared();
        shared.onlookers_ever += 1;
        let (id, head) = (shared.onlookers_ever, self.head());
        shared.onlookers.insert(id, head);
        (id, head)
    }

    /// Notes up to which batch an onlooker has seen.
    pub fn onlooker_at(&self, id: u64, seq: u64) {
        if let Some(seen) = self.shared().onlookers.get_mut(&id) {
            *seen = seq;
        }
    }

    /// Says whether what an onlooker has not seen is still kept.
    pub fn keeps_for(&self, id: u64) -> bool {
        let shared = self.shared();
        let seen = shared.onlookers.get(&id).copied().unwrap_or(0);
        // Where rows only come they are all kept.
        let first = shared.recent.front().map_or(0, |first| first.note.seq);
        self.stored.layout == Layout::Append || seen + 1 >= first
    }

    pub fn remove_onlooker(&self, id: u64) {
        self.shared().onlookers.remove(&id);
    }

    /// Returns how many rows have come since the start.
    pub fn rows_come(&self) -> u64 {
        u64::try_from(self.shared().rows).unwrap_or(0)
    }

    /// Returns the batches that every reader has taken, if more can be deleted than last time; the caller deletes
    /// them.
    pub fn trimmable(&self, keep_latest: bool) -> Option<Taken> {
        let head = self.head();
        let mut shared = self.shared();
        let mut taken = head;
        for reader in shared.readers.values() {
            taken = taken.min(reader.done()?);
        }
        let first_known = shared.recent.front().map_or(head, |first| first.note.seq);
        let onlookers = shared.onlookers.values();
        let seen = onlookers.filter(|seen| **seen + 1 >= first_known).min();
        let taken = taken.min(seen.copied().unwrap_or(taken));
        let taken = if keep_latest {
            taken.min(head.saturating_sub(1))
        } else {
            taken
        };
        (taken > shared.trimmed).then(|| {
            shared.trimmed = taken;
            Taken {
                seq: taken,
                all_but_latest: taken + 1 == head,
            }
        })
    }
}

impl Shared {
    /// A full pipe is as good as a message: its reader will look at the head anyway.
    fn ring(&mut self) {
        self.doorbells
            .retain(|bell| !matches!(bell.try_send(()), Err(TrySendError::Closed(()))));
    }

    /// Returns the rows of the batches up to `seq` since the start, if memory reaches back that far.
    fn rows_up_to(&self, seq: u64) -> Option<i64> {
        let after = self.recent.partition_point(|recent| recent.note.seq <= seq);
        Some(self.recent.get(after.checked_sub(1)?)?.rows_total)
    }
}

/// Makes the inbox of a node: room for one message, since all messages say the same.
pub fn inbox() -> (Sender<()>, Receiver<()>) {
    async_channel::bounded(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_reader_begins_with_what_is_kept() {
        let stored = Stored {
            name: "s".to_owned(),
            columns: Vec::new(),
            layout: Layout::Passing,
            visible: true,
        };
        let stream = Stream::new(stored, 0);
        let note = |seq| BatchNote {
            seq,
            rows: 10,
            trigger_us: 0,
        };
        stream.add_reader("first", 0, 0, Keeps::Nothing);
        (1..=5).for_each(|seq| stream.advance(note(seq)));
        stream.reader_at("first", 5, 50);
        assert_eq!(stream.trimmable(true).map(|taken| taken.seq), Some(4));
        stream.advance(note(6));
        assert_eq!(stream.recent_after(0), Some(vec![note(5), note(6)]));
        assert_eq!(stream.recent_after(5), Some(vec![note(6)]));
        stream.add_reader("second", 0, 20, Keeps::Nothing);
        stream.reader_at("second", 5, 10);
        let mut readers = stream.readers();
        readers.sort();
        assert_eq!(
            readers,
            [("first".to_owned(), 5, 10), ("second".to_owned(), 5, 10)]
        );
    }
}
