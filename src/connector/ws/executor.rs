//! The one thread on which the connections of all ws sources run, and what its tasks wait with.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use async_channel::Receiver;
use smol::{Executor, Timer, future};

static EXECUTOR: Executor<'static> = Executor::new();

/// Whether the thread runs.
static STARTED: Mutex<bool> = Mutex::new(false);

/// Starts a task, and the thread if it is the first.
///
/// # Errors
/// The system gives no thread.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let mut started = STARTED.lock().expect("no panic happens under this lock");
    if !*started {
        std::thread::Builder::new()
            .name("omlsp-ws".to_owned())
            .spawn(|| smol::block_on(EXECUTOR.run(future::pending::<()>())))
            .context("cannot start the thread of the WebSocket connections")?;
        *started = true;
    }
    drop(started);
    EXECUTOR.spawn(task).detach();
    Ok(())
}

/// Returns what the future gives, or `None` if it takes longer.
pub(super) async fn within<T>(limit: Duration, task: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    future::or(async { Some(task.await) }, late).await
}

/// Waits until every sender of a channel is dropped; nothing is ever sent on it.
pub(super) async fn dropped(senders: &Receiver<Infallible>) {
    if let Ok(never) = senders.recv().await {
        match never {}
    }
}
