//! An HTTP/1.1 server on loopback whose behaviour is a script, and which remembers what it was asked.
//!
//! One thread per connection, keep-alive, port chosen by the system. Knows nothing of any exchange: see
//! [`super::exchanges`]. How a [`Reply`] becomes bytes is in [`super::http_wire`].
//!
//! ```ignore
//! let server = Server::start();
//! server.script("/rows", vec![Reply::status(500), Reply::json(r#"[{"a": 1}]"#)]);
//! server.on("POST", "/login", |request| Reply::json(request.body_text()));
//! ```

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::address;
use super::http_wire::{self, Outcome};

/// How long an idle connection is kept; tests end long before, and a leaked thread does not live for ever.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Small, because a thousand connections may be open and a handler needs little.
const STACK_BYTES: usize = 256 * 1024;

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without the query, percent-encoding kept.
    pub path: String,
    /// As sent, without the `?`; empty if there was none.
    pub raw_query: String,
    /// Pairs in order, decoded, `+` read as a space.
    pub query: Vec<(String, String)>,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The number of the connection, counted from 1.
    pub connection: u64,
    /// The instant the request was read.
    pub at: Instant,
}

impl Request {
    /// Returns the first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the first value of a header, its name compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn body_text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the client sent UTF-8")
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn body_json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the client sent JSON")
    }
}

/// How the body of a [`Reply`] reaches the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// With its Content-Length, at once.
    Whole,
    /// In pieces of so many bytes with a pause before each; chunked if the flag is set.
    Pieces {
        bytes: usize,
        pause: Duration,
        chunked: bool,
    },
    /// So many bytes of the body, then the connection is closed.
    HangUpAfter(usize),
    /// The connection is closed without a byte of an answer.
    NoAnswer,
    /// A Content-Length that is not the body's; the connection is closed after the body.
    WrongLength(usize),
    /// Exactly these bytes in place of an answer, then the connection is closed.
    Raw,
}

/// One answer: what is sent and how.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<[u8]>,
    pub(super) delay: Duration,
    pub(super) delivery: Delivery,
    pub(super) close: bool,
}

impl Reply {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into().into(),
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
            close: false,
        }
    }

    /// A 200 with a JSON body.
    pub fn json(body: impl AsRef<str>) -> Self {
        Self::new(200, "application/json", body.as_ref())
    }

    /// A 200 with a JSON body.
    pub fn value(body: &serde_json::Value) -> Self {
        Self::json(body.to_string())
    }

    /// A 200 with a body that is shared, not copied, between replies.
    pub fn shared(body: &Arc<[u8]>) -> Self {
        Self {
            body: Arc::clone(body),
            ..Self::new(200, "application/json", "")
        }
    }

    /// A 200 with a plain text.
    pub fn text(body: impl AsRef<str>) -> Self {
        Self::new(200, "text/plain", body.as_ref())
    }

    /// An answer with a short JSON body that names the status.
    pub fn status(status: u16) -> Self {
        Self::new(
            status,
            "application/json",
            format!(r#"{{"status": {status}}}"#),
        )
    }

    /// A 304 without a body.
    pub fn not_modified() -> Self {
        Self {
            status: 304,
            body: Arc::from([]),
            ..Self::json("")
        }
    }

    /// A connection closed before any byte of an answer.
    pub fn hang_up() -> Self {
        Self {
            delivery: Delivery::NoAnswer,
            ..Self::json("")
        }
    }

    /// These bytes in place of an answer, then the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            delivery: Delivery::Raw,
            body: bytes.into().into(),
            ..Self::json("")
        }
    }

    /// Replaces the status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header; `Content-Type` replaces the one there is.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if name.eq_ignore_ascii_case("content-type") {
            self.headers
                .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        }
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Waits before the first byte.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body in pieces of `bytes` with a `pause` before each, its length announced.
    #[must_use]
    pub fn slow(mut self, bytes: usize, pause: Duration) -> Self {
        self.delivery = Delivery::Pieces {
            bytes,
            pause,
            chunked: false,
        };
        self
    }

    /// Sends the body with `Transfer-Encoding: chunked`, `bytes` a chunk.
    #[must_use]
    pub fn chunked(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::Pieces {
            bytes,
            pause: Duration::ZERO,
            chunked: true,
        };
        self
    }

    /// Announces the whole body, sends `bytes` of it and closes the connection.
    #[must_use]
    pub fn hang_up_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::HangUpAfter(bytes);
        self
    }

    /// Announces `length` bytes whatever the body has, and closes the connection after the body.
    #[must_use]
    pub fn wrong_length(mut self, length: usize) -> Self {
        self.delivery = Delivery::WrongLength(length);
        self
    }

    /// Encodes the body as gzip.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.body = http_wire::gzip(&self.body).into();
        self.header("Content-Encoding", "gzip")
    }

    /// Encodes the body as gzip and cuts the stream after `bytes`, with a length that fits the cut.
    #[must_use]
    pub fn gzip_truncated(self, bytes: usize) -> Self {
        let mut reply = self.gzip();
        let kept = bytes.min(reply.body.len());
        reply.body = reply.body[..kept].into();
        reply
    }

    /// Closes the connection after the answer, and says so.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self.header("Connection", "close")
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What answers one path.
#[derive(Clone)]
struct Route {
    /// `None` answers every method.
    method: Option<String>,
    /// A path that ends with `*` answers everything it is a prefix of.
    path: String,
    handler: Handler,
}

#[derive(Default)]
struct State {
    routes: RwLock<Vec<Route>>,
    requests: Mutex<Vec<Request>>,
    /// True keeps every request; false, for load, only counts them.
    record: AtomicBool,
    latency_us: AtomicU64,
    connections_opened: AtomicU64,
    request_count: AtomicU64,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
    stopped: AtomicBool,
    open: Mutex<HashMap<u64, TcpStream>>,
}

/// A running server; it ends, and hangs up on everybody, when it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    /// Owns the listener: the port is free again when it has ended.
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a free port of loopback. A path that nobody answers gives 404.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        Self::serve(listener)
    }

    /// Starts a server on a given address, to come back where another one was.
    ///
    /// # Panics
    /// If the address is in use.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::serve(address::listen_again(address))
    }

    fn serve(listener: TcpListener) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let state = Arc::new(State::default());
        state.record.store(true, Ordering::Relaxed);
        let shared = Arc::clone(&state);
        let accepting = Some(thread::spawn(move || accept(&listener, &shared)));
        Self {
            address,
            state,
            accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers a path with a function. `method` may be `*`; a path that ends with `*` is a prefix. A later
    /// route hides an earlier one.
    pub fn on(
        &self,
        method: &str,
        path: &str,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) {
        let route = Route {
            method: (method != "*").then(|| method.to_uppercase()),
            path: path.to_owned(),
            handler: Arc::new(handler),
        };
        self.state
            .routes
            .write()
            .expect("no handler panics")
            .push(route);
    }

    /// Answers a path with the replies in turn; the last one repeats.
    ///
    /// # Panics
    /// If there is no reply at all.
    pub fn script(&self, path: &str, replies: Vec<Reply>) {
        assert!(!replies.is_empty(), "a script needs a reply");
        let asked = AtomicUsize::new(0);
        self.on("*", path, move |_| {
            let turn = asked.fetch_add(1, Ordering::Relaxed);
            replies[turn.min(replies.len() - 1)].clone()
        });
    }

    /// Waits so long before each answer, whatever the reply says.
    pub fn set_latency(&self, latency: Duration) {
        let latency_us = u64::try_from(latency.as_micros()).expect("a latency is short");
        self.state.latency_us.store(latency_us, Ordering::Relaxed);
    }

    /// Drops the requests kept so far; those that follow are kept.
    pub fn clear_requests(&self) {
        self.lock_requests().clear();
    }

    /// Stops keeping requests, for load; the counts go on.
    pub fn forget_requests(&self) {
        self.state.record.store(false, Ordering::Relaxed);
        self.lock_requests().clear();
    }

    /// Returns every request so far, in the order they were read.
    pub fn requests(&self) -> Vec<Request> {
        self.lock_requests().clone()
    }

    /// Returns the requests of one path.
    pub fn requests_of(&self, path: &str) -> Vec<Request> {
        let requests = self.lock_requests();
        requests
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }

    /// Returns the last request.
    ///
    /// # Panics
    /// If there was none.
    pub fn last_request(&self) -> Request {
        self.lock_requests()
            .last()
            .cloned()
            .expect("the server was asked")
    }

    /// Returns how many requests were read.
    pub fn request_count(&self) -> u64 {
        self.state.request_count.load(Ordering::Relaxed)
    }

    /// Returns how many requests of one path are kept.
    pub fn count_of(&self, path: &str) -> usize {
        self.lock_requests()
            .iter()
            .filter(|request| request.path == path)
            .count()
    }

    /// Returns how many connections were opened.
    pub fn connections_opened(&self) -> u64 {
        self.state.connections_opened.load(Ordering::Relaxed)
    }

    /// Returns how many requests were being answered at the same time, at most.
    pub fn in_flight_max(&self) -> usize {
        self.state.in_flight_max.load(Ordering::Relaxed)
    }

    fn lock_requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.state
            .requests
            .lock()
            .expect("nothing panics under this lock")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // The connection wakes the accepting thread; if it is refused there is nobody to wake or wait for.
        if let (Ok(_), Some(accepting)) = (TcpStream::connect(self.address), self.accepting.take())
        {
            accepting.join().unwrap_or_default();
        }
        let open = self
            .state
            .open
            .lock()
            .expect("nothing panics under this lock");
        for stream in open.values() {
            hang_up(stream);
        }
    }
}

/// Closes both directions; a peer that was faster makes this an error that does not matter.
fn hang_up(stream: &TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap_or_default();
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = state.connections_opened.fetch_add(1, Ordering::Relaxed) + 1;
        let shared = Arc::clone(state);
        let spawned = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || {
                converse(&stream, number, &shared);
                hang_up(&stream);
                shared
                    .open
                    .lock()
                    .expect("nothing panics under this lock")
                    .remove(&number);
            });
        spawned.expect("the system has threads left");
    }
}

/// Answers the requests of one connection until either side closes it.
fn converse(stream: &TcpStream, number: u64, state: &State) {
    let (Ok(()), Ok(()), Ok(kept)) = (
        stream.set_nodelay(true),
        stream.set_read_timeout(Some(IDLE_MAX)),
        stream.try_clone(),
    ) else {
        return;
    };
    state
        .open
        .lock()
        .expect("nothing panics under this lock")
        .insert(number, kept);
    if state.stopped.load(Ordering::SeqCst) {
        return;
    }
    let mut reader = BufReader::new(stream);
    let mut writer = BufWriter::with_capacity(64 * 1024, stream);
    while let Ok(Some(request)) = http_wire::read_request(&mut reader, &mut writer, number) {
        let flying = state.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        state.in_flight_max.fetch_max(flying, Ordering::SeqCst);
        state.request_count.fetch_add(1, Ordering::Relaxed);
        if state.record.load(Ordering::Relaxed) {
            let mut requests = state
                .requests
                .lock()
                .expect("nothing panics under this lock");
            requests.push(request.clone());
        }
        let outcome = answer(&request, &mut writer, state);
        // Counted down before the last bytes leave, so that a client's next request is never seen
        // together with its own last one.
        state.in_flight.fetch_sub(1, Ordering::SeqCst);
        let flushed = writer.flush();
        let closes = request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes || flushed.is_err() || !matches!(outcome, Ok(Outcome::KeepAlive)) {
            return;
        }
    }
}

fn answer(
    request: &Request,
    writer: &mut BufWriter<&TcpStream>,
    state: &State,
) -> std::io::Result<Outcome> {
    let handler = {
        let routes = state
            .routes
            .read()
            .expect("no handler panics under this lock");
        let matching = routes.iter().rev().find(|route| {
            let path_fits = match route.path.strip_suffix('*') {
                Some(prefix) => request.path.starts_with(prefix),
                None => request.path == route.path,
            };
            path_fits
                && route
                    .method
                    .as_ref()
                    .is_none_or(|method| *method == request.method)
        });
        matching.map(|route| Arc::clone(&route.handler))
    };
    let reply = handler.map_or_else(|| Reply::status(404), |handler| handler(request));
    let latency = Duration::from_micros(state.latency_us.load(Ordering::Relaxed));
    // What has been done for the answer so far is a part of its latency.
    thread::sleep((latency + reply.delay).saturating_sub(request.at.elapsed()));
    http_wire::write_reply(writer, &reply, request.method == "HEAD")
}
