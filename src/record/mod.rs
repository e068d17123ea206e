//! What came in from outside, kept as lines of JSON, and given again: the record of a run.
//!
//! A [`Recorder`] writes one [`Line`] for each thing that came in; a [`Player`] reads them and answers in
//! the place of the network, on the clock of the record. Connectors meet both through their context, as a
//! [`Tape`]. Knows nothing of connectors and of who drives them. `docs/record.md` describes the format.

mod content;
mod line;
mod nearest;
mod player;
mod recorder;
mod scrub;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

pub use content::Content;
pub use line::{Broken, Event, Exchange, FORMAT, Line, Message, Request, Response};
pub use player::{Asked, Due, Happening, Lack, Player};
pub use recorder::{FILE, Recorder};

/// What a run does beside its work: it writes down what comes in, or takes it from what was written.
#[derive(Clone)]
pub enum Tape {
    Recorder(Arc<Recorder>),
    Player(Arc<Player>),
}

/// A clock that stands still until it is put forward. Cheap to clone: all clones are one clock.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<AtomicI64>);

impl VirtualClock {
    pub fn new(start: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(start.timestamp_micros())))
    }

    /// Returns the instant it shows, in whole microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Puts it forward; an instant that is over leaves it as it is.
    pub fn advance(&self, to: DateTime<Utc>) {
        self.0.fetch_max(to.timestamp_micros(), Ordering::AcqRel);
    }
}
