//! The connections of the listener: a bounded number, in which an idle one makes room for a new one.
//!
//! So whoever opens a thousand connections and says nothing closes his own, and keeps nobody out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};

/// Connections at once: some people with the page open and a few scrapers need a tenth of it, and it leaves
/// most of the usual 1,024 descriptors of a process to the pipeline.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may neither send nor take a byte while no request is at work on it.
const QUIET_MAX: Duration = Duration::from_secs(90);

/// How long one may be at one request: the longest statement and its answer.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// How often each looks whether its time is over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When bytes went over a connection last, and whether a request is at work on it.
pub struct Activity {
    start: Instant,
    last_ms: AtomicU64,
    requests: AtomicUsize,
    /// When the current request began.
    begun_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            begun_ms: AtomicU64::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that bytes came or went.
    pub fn moved(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Notes that a request is at work, until the value is dropped.
    pub fn begin(self: &Arc<Self>) -> Work {
        self.begun_ms.store(self.now_ms(), Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Work(Arc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    fn quiet(&self) -> Duration {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.now_ms().saturating_sub(last_ms))
    }

    fn is_over(&self) -> bool {
        if self.is_idle() {
            return self.quiet() > QUIET_MAX;
        }
        let begun_ms = self.begun_ms.load(Ordering::Relaxed);
        self.now_ms().saturating_sub(begun_ms)
            > REQUEST_MAX.as_millis().try_into().unwrap_or(u64::MAX)
    }
}

/// A request at work.
pub struct Work(Arc<Activity>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

struct Open {
    activity: Arc<Activity>,
    /// Dropped to end it.
    _end: Sender<()>,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<u64, Open>,
    ever: u64,
}

/// All connections. Of one thread, like those who use it.
#[derive(Clone, Default)]
pub struct Connections(Rc<RefCell<Inner>>);

impl Connections {
    /// Adds a connection, in the place of the one that has been idle for longest if there are too many;
    /// `None` if all are at work.
    pub fn enter(&self) -> Option<Entry> {
        let mut inner = self.0.borrow_mut();
        if inner.open.len() >= CONNECTIONS_MAX {
            let idle = inner
                .open
                .iter()
                .filter(|(_, open)| open.activity.is_idle());
            let (id, _) = idle.max_by_key(|(_, open)| open.activity.quiet())?;
            let id = *id;
            inner.open.remove(&id);
        }
        let id = inner.ever;
        inner.ever += 1;
        let activity = Arc::new(Activity::new());
        let (end, ended) = async_channel::bounded(1);
        let open = Open {
            activity: Arc::clone(&activity),
            _end: end,
        };
        inner.open.insert(id, open);
        drop(inner);
        Some(Entry {
            id,
            activity,
            ended,
            connections: self.clone(),
        })
    }
}

/// One connection on the list, until the value is dropped.
pub struct Entry {
    id: u64,
    activity: Arc<Activity>,
    ended: Receiver<()>,
    connections: Connections,
}

impl Entry {
    pub fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Waits until the connection has to end: another one needs its place, or its time is over.
    pub async fn ended(&self) {
        let asked = async {
            // Nothing is ever sent: the error says that it is off the list.
            self.ended.recv().await.unwrap_or_default();
        };
        let over = async {
            while !self.activity.is_over() {
                smol::Timer::after(LOOK_EVERY).await;
            }
        };
        smol::future::or(asked, over).await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.0.borrow_mut().open.remove(&self.id);
    }
}
