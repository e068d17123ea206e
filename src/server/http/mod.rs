//! The listener: metrics, health, the page to watch, and what the page asks for, over HTTP/1.1.
//!
//! It is told apart from the control socket by whom it trusts: the socket belongs to the owner of the state
//! directory, here anybody may come who can reach the address. So it refuses foreign names and origins,
//! bounds everything a client can make it hold, and beyond loopback asks for a token.

mod address;
mod api;
mod connections;
mod guard;
mod metrics;
mod page;
mod route;
mod watched;

pub use address::resolve;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::{Async, LocalExecutor};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use self::connections::{Connections, Entry};
use self::guard::Guard;
use self::route::Router;
use self::watched::Watched;
use super::service::Service;
use crate::secret::Secret;

/// How long a client may take for the head of a request, and how long a connection may lie idle between two:
/// longer than the interval at which Prometheus and the page come back.
const HEAD_MAX: Duration = Duration::from_secs(75);

/// The bytes of the head of a request. The page's own have one; long cookies of other services on the same
/// host may come along.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The headers of a request.
const HEADERS_MAX: usize = 64;

/// The pause after a connection that could not be accepted: out of descriptors, the next one may fare better.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Where to listen, and whom to trust.
pub struct Options {
    pub address: SocketAddr,
    /// Without it the rows of the pipeline are for everybody who can connect: only on loopback.
    pub token: Option<Secret>,
    /// The names, besides addresses, under which clients may come.
    pub hosts: Vec<String>,
}

/// A listener that is bound and does not yet answer.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

impl Bound {
    /// # Errors
    /// The address is in use, or not ours.
    pub fn new(options: Options) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(options.address)
            .with_context(|| format!("cannot listen on {}", options.address))?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            guard: Guard::new(address.ip().is_loopback(), options.token, options.hosts),
        })
    }

    /// Returns the address, its port chosen by the system if it was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on, until the value is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn serve(self, service: Arc<Service>) -> anyhow::Result<Listener> {
        let listener = Async::new(self.listener)?;
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let router = Arc::new(Router::new(service, self.guard));
        let thread = std::thread::Builder::new()
            .name("listener".to_owned())
            .spawn(move || {
                let executor = LocalExecutor::new();
                let serving = smol::future::or(accept(&executor, &listener, &router), async {
                    // Nothing is ever sent: the error says that the value is dropped.
                    stopped.recv().await.unwrap_or_default();
                });
                smol::block_on(executor.run(serving));
            })?;
        Ok(Listener {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A listener that answers, until the value is dropped.
pub struct Listener {
    stop: Option<async_channel::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the listener panicked");
        }
    }
}

async fn accept(executor: &LocalExecutor<'_>, listener: &Async<TcpListener>, router: &Arc<Router>) {
    let connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(entry) = connections.enter() {
                    executor
                        .spawn(serve(stream, entry, Arc::clone(router)))
                        .detach();
                }
                // Else all are at work: it is closed at once, which says so.
            }
            Err(error) => {
                tracing::warn!("a client of the listener cannot be served: {error}");
                smol::Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until either side has enough of it.
async fn serve(stream: Async<std::net::TcpStream>, entry: Entry, router: Arc<Router>) {
    let activity = entry.activity();
    let io = FuturesIo::new(Watched::new(stream, Arc::clone(&activity)));
    let answer = service_fn(|request| {
        let (router, work) = (Arc::clone(&router), activity.begin());
        async move {
            let answer = router.answer(request).await;
            drop(work);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(SmolTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io, answer);
    let served = async {
        if let Err(error) = connection.await {
            tracing::debug!("a connection of the listener ended: {error}");
        }
    };
    smol::future::or(served, entry.ended()).await;
}
