//! The watermark of a stream while it runs: how far event time has come, batch by batch, and whether
//! anything may still come.
//!
//! A reader that lags must not take the watermark of a batch it has not read, so a stream keeps the
//! watermark of each of its latest batches. Instants are microseconds since the epoch, UTC.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stream::Stream;

/// The watermark before any row.
pub const UNKNOWN: i64 = i64::MIN;

/// The watermark once nothing more can come.
pub const ENDED: i64 = i64::MAX;

/// The batches whose watermark is kept for readers that lag; one further behind takes that of an older
/// batch, which closes its windows later but never too early.
const BATCHES_MAX: usize = 4096;

/// What a stream knows of event time.
pub struct Tide {
    /// Number of a batch, and the watermark after it; both ascending.
    marks: VecDeque<(u64, i64)>,
    /// The source has ended for good.
    ended: bool,
    idle: bool,
    idle_timeout: Option<Duration>,
    last_rows: Instant,
    /// The streams it is made of; none for a source.
    upstream: Vec<Arc<Stream>>,
}

impl Default for Tide {
    fn default() -> Self {
        Self {
            marks: VecDeque::new(),
            ended: false,
            idle: false,
            idle_timeout: None,
            last_rows: Instant::now(),
            upstream: Vec::new(),
        }
    }
}

impl Tide {
    /// Notes the watermark after batch `seq`; one that goes back is ignored. Returns whether it moved.
    pub fn rise(&mut self, seq: u64, watermark: i64) -> bool {
        let last = self.marks.back_mut();
        match last {
            Some((_, known)) if *known >= watermark => return false,
            Some((known_seq, known)) if *known_seq == seq => *known = watermark,
            _ => self.marks.push_back((seq, watermark)),
        }
        if self.marks.len() > BATCHES_MAX {
            self.marks.pop_front();
        }
        true
    }

    /// Returns the watermark after batch `seq`.
    pub fn at(&self, seq: u64) -> i64 {
        let after = self.marks.partition_point(|(mark, _)| *mark <= seq);
        let mark = after.checked_sub(1).and_then(|at| self.marks.get(at));
        mark.map_or(UNKNOWN, |(_, watermark)| *watermark)
    }

    pub fn set_idle_timeout(&mut self, timeout: Option<Duration>) {
        self.idle_timeout = timeout;
    }

    pub fn set_upstream(&mut self, upstream: Vec<Arc<Stream>>) {
        self.upstream = upstream;
    }

    pub fn upstream(&self) -> &[Arc<Stream>] {
        &self.upstream
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Notes that there may be more after an end.
    pub fn go_on(&mut self) {
        self.ended = false;
    }

    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Notes that rows came: an idle stream is awake again.
    pub fn wake(&mut self) {
        self.idle = false;
        self.last_rows = Instant::now();
    }

    /// Notes whether the stream has been without rows for its timeout; returns true if it was not idle
    /// before.
    pub fn look(&mut self, now: Instant) -> bool {
        let idle = self
            .idle_timeout
            .is_some_and(|timeout| now.duration_since(self.last_rows) >= timeout);
        let turned = idle && !self.idle;
        self.idle = idle;
        turned
    }

    /// Notes that the stream is idle by another clock than the system's; returns true if it was not before.
    pub fn sleep(&mut self) -> bool {
        !std::mem::replace(&mut self.idle, true)
    }

    pub fn is_idle(&self) -> bool {
        self.idle
    }
}

/// Returns the watermark of a relation that has taken each of `inputs` up to the given batch: the least of
/// theirs.
///
/// An input that is idle, or has ended, and whose rows are all taken does not count. If all have ended
/// nothing more can come; if the rest is idle nothing is known.
pub fn watermark<'a>(inputs: impl Iterator<Item = (&'a Arc<Stream>, u64)>) -> i64 {
    let (mut least, mut active, mut idle) = (ENDED, false, false);
    for (stream, position) in inputs {
        // Asked before the head, after which an ended stream adds nothing.
        let (ended, sleeps) = (stream.is_ended(), stream.is_idle());
        let taken = position >= stream.head();
        if taken && ended {
            continue;
        }
        if taken && sleeps {
            idle = true;
            continue;
        }
        active = true;
        least = least.min(stream.watermark_at(position));
    }
    match (active, idle) {
        (true, _) => least,
        (false, true) => UNKNOWN,
        (false, false) => ENDED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lagging_reader_gets_the_watermark_of_what_it_has_read() {
        let mut tide = Tide::default();
        assert_eq!(tide.at(7), UNKNOWN);
        assert!(tide.rise(2, 20));
        assert!(!tide.rise(3, 15), "a watermark never goes back");
        assert!(tide.rise(5, 50));
        assert!(tide.rise(5, 55));
        let at: Vec<i64> = [1, 2, 4, 5, 9].map(|seq| tide.at(seq)).to_vec();
        assert_eq!(at, [UNKNOWN, 20, 20, 55, 55]);
    }

    #[test]
    fn a_stream_is_idle_after_its_timeout_and_awake_with_its_next_rows() {
        let mut tide = Tide::default();
        let later = Instant::now() + Duration::from_secs(60);
        assert!(!tide.look(later), "without a timeout it never is");
        tide.set_idle_timeout(Some(Duration::from_secs(30)));
        assert!(tide.look(later));
        assert!(!tide.look(later), "told once");
        assert!(tide.is_idle());
        tide.wake();
        assert!(!tide.is_idle());
    }
}
