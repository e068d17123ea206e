//! The bounded queue from the connections to the reader.
//!
//! Its bound counts memory, not items. A sender that finds it full waits without reading its socket: TCP
//! then slows the server down, and nothing is dropped. The senders are tasks of one thread, the receiver
//! is a blocking thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::frames::Frames;
use crate::connector::Event;

/// What may wait for the reader, messages and what is kept beside each: some hundred milliseconds of the
/// fastest stream, so that a commit holds nobody up. One message of more than this passes alone.
const QUEUED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// So many emptied buffers are kept for the next messages: memory that is used again is not cleared by the system
/// each time.
const SPARES_MAX: usize = 32;

/// A larger one is not kept.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// What an event counts, so that a reader that is away for hours does not gather them without end.
const REPORT_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) enum Item {
    Frames(Frames),
    Report(Event),
}

impl Item {
    fn memory(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.memory(),
            Self::Report(_) => REPORT_BYTES,
        }
    }
}

/// The reader is gone.
#[derive(Debug)]
pub(super) struct Gone;

#[derive(Clone)]
pub(super) struct Sender {
    items: mpsc::Sender<Item>,
    gauge: Arc<Gauge>,
}

pub(super) struct Receiver {
    items: mpsc::Receiver<Item>,
    gauge: Arc<Gauge>,
}

struct Gauge {
    queued_bytes: AtomicUsize,
    /// Holds one token after something was taken out. A sender that used it and sees room left puts it
    /// back for the next one.
    room: (async_channel::Sender<()>, async_channel::Receiver<()>),
    /// Buffers without messages.
    spares: Mutex<Vec<Frames>>,
}

impl Gauge {
    fn tell_room(&self) {
        // Full means that a token is there already.
        self.room.0.try_send(()).unwrap_or_default();
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Frames>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, bytes: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::Acquire);
        queued == 0 || queued + bytes <= QUEUED_BYTES_MAX
    }
}

pub(super) fn inbox() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel();
    let gauge = Arc::new(Gauge {
        queued_bytes: AtomicUsize::new(0),
        room: async_channel::bounded(1),
        spares: Mutex::default(),
    });
    (
        Sender {
            items: sender,
            gauge: Arc::clone(&gauge),
        },
        Receiver {
            items: receiver,
            gauge,
        },
    )
}

/// Passes the token on if the wait for room is given up.
struct Waiting<'g>(&'g Gauge);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.has_room(0) {
            self.0.tell_room();
        }
    }
}

impl Sender {
    /// Waits for room and sends; returns how long it had to wait.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn send(&self, item: Item) -> Result<Duration, Gone> {
        let waited = self.room(item.memory()).await?;
        self.push(item)?;
        Ok(waited)
    }

    /// Waits for room for so many bytes; returns how long it had to. Until the next wait nobody else takes it,
    /// since all senders are tasks of one thread.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn room(&self, bytes: usize) -> Result<Duration, Gone> {
        let mut waited = Duration::ZERO;
        if !self.gauge.has_room(bytes) {
            let start = Instant::now();
            let _waiting = Waiting(&self.gauge);
            while !self.gauge.has_room(bytes) {
                self.gauge.room.1.recv().await.map_err(|_| Gone)?;
            }
            waited = start.elapsed();
        }
        Ok(waited)
    }

    /// Returns an emptied buffer, if there is one.
    pub fn spare(&self) -> Option<Frames> {
        self.gauge.spares().pop()
    }

    /// Sends at once, after [`Sender::room`].
    ///
    /// # Errors
    /// [`Gone`].
    pub fn push(&self, item: Item) -> Result<(), Gone> {
        let bytes = item.memory();
        self.gauge.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.items.send(item).map_err(|_| Gone)
    }
}

impl Receiver {
    /// Returns the next item, or `None` if there is none until the instant.
    pub fn receive_until(&self, end: Instant) -> Option<Item> {
        let item = match self.items.try_recv() {
            Ok(item) => item,
            Err(_) => {
                let wait = end.saturating_duration_since(Instant::now());
                self.items.recv_timeout(wait).ok()?
            }
        };
        self.gauge
            .queued_bytes
            .fetch_sub(item.memory(), Ordering::AcqRel);
        self.gauge.tell_room();
        Some(item)
    }

    /// Gives a buffer back whose messages were taken.
    pub fn give_back(&self, frames: Frames) {
        let frames = frames.recycled(SPARE_BYTES_MAX);
        let mut spares = self.gauge.spares();
        if frames.is_roomy() && spares.len() < SPARES_MAX {
            spares.push(frames);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.gauge.room.1.close();
    }
}
