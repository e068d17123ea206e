//! A WebSocket server on loopback whose behaviour is a script, and which remembers who came and what
//! they said.
//!
//! One thread per connection. The handshake and the frames are tungstenite's, taken from the crate the
//! product uses; what breaks the protocol is written past it.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::{Error, Message, WebSocket, accept_hdr, http};

use super::address;

/// How long a read waits before the connection looks for something to push or for the end.
const TURN: Duration = Duration::from_millis(10);

/// A stalled connection ends with the server, and after this even if the server is leaked.
const STALL_MAX: Duration = Duration::from_secs(120);

/// What the server does next on a connection.
#[derive(Clone, Debug)]
pub enum Step {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    /// Waits until the client has sent so many messages on this connection.
    Await(usize),
    Pause(Duration),
    /// Sends a close frame with this code and reason, and waits for the client's.
    Close(u16, String),
    /// Closes the TCP connection without a close frame.
    HangUp,
    /// Writes these bytes where a frame should be.
    Garbage(Vec<u8>),
    /// Neither reads nor writes any more; the connection stays open.
    Stall,
    /// Neither reads nor writes for so long.
    Hush(Duration),
    /// Reads, answers pings and sends what is pushed, until the client leaves. Also the end of a script
    /// that has none of its own.
    Serve,
}

/// A text frame.
pub fn text(body: impl ToString) -> Step {
    Step::Text(body.to_string())
}

/// Who connected.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Counted from 1.
    pub connection: u64,
    /// Path and query as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub at: Instant,
}

/// What a client sent; pongs are counted, not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub connection: u64,
    pub message: Message,
}

/// An accepted connection, for a handler of one's own.
pub struct Connection {
    pub number: u64,
    pub visit: Visit,
    socket: WebSocket<TcpStream>,
    pushed: Receiver<Message>,
    state: Arc<State>,
    received_count: usize,
}

type Handler = Arc<dyn Fn(&mut Connection) -> Result<(), Error> + Send + Sync>;

/// What the server keeps of an open connection.
struct Open {
    path: String,
    pushes: Sender<Message>,
    /// To hang up with.
    stream: TcpStream,
}

#[derive(Default)]
struct State {
    /// By path without query, or prefix with `*` at its end; later ones hide earlier ones.
    routes: RwLock<Vec<(String, Handler)>>,
    refusals: Mutex<Vec<u16>>,
    visits: Mutex<Vec<Visit>>,
    received: Mutex<Vec<Received>>,
    pongs: AtomicUsize,
    pings: AtomicUsize,
    connections_opened: AtomicU64,
    stopped: AtomicBool,
    /// By number.
    open: Mutex<HashMap<u64, Open>>,
}

/// A running server; it ends, and hangs up on everybody, when it is dropped.
pub struct WsServer {
    address: SocketAddr,
    state: Arc<State>,
    /// Owns the listener: the port is free again when it has ended.
    accepting: Option<JoinHandle<()>>,
}

/// A server that sends messages of 200 bytes numbered up to `count` as fast as they are taken, one client after the
/// other, and the number it has sent.
pub fn flooding(count: i64) -> (WsServer, Arc<AtomicI64>) {
    let server = WsServer::start();
    let sent = Arc::new(AtomicI64::new(0));
    let counter = Arc::clone(&sent);
    server.on("/", move |connection| {
        for a in counter.load(Ordering::SeqCst)..count {
            let head = format!("{{\"a\":{a},\"pad\":\"");
            let message = format!("{head:x<198}\"}}");
            connection.write(Message::text(message))?;
            counter.store(a + 1, Ordering::SeqCst);
        }
        connection.flush()?;
        connection.serve()
    });
    (server, sent)
}

impl WsServer {
    /// Starts a server on a free port of loopback. A path without a script is served ([`Step::Serve`]).
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"))
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

    /// Returns `ws://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Handles the connections of a path with a function.
    pub fn on(
        &self,
        path: &str,
        handler: impl Fn(&mut Connection) -> Result<(), Error> + Send + Sync + 'static,
    ) {
        let mut routes = self
            .state
            .routes
            .write()
            .expect("nothing panics under this lock");
        routes.push((path.to_owned(), Arc::new(handler)));
    }

    /// Plays one script per connection of a path, in turn; the last one repeats.
    ///
    /// # Panics
    /// If there is no script at all.
    pub fn script(&self, path: &str, scripts: Vec<Vec<Step>>) {
        assert!(!scripts.is_empty(), "at least one connection has a script");
        let visits = AtomicUsize::new(0);
        self.on(path, move |connection| {
            let turn = visits
                .fetch_add(1, Ordering::Relaxed)
                .min(scripts.len() - 1);
            connection.play(&scripts[turn])
        });
    }

    /// Refuses the next handshakes with these HTTP statuses.
    pub fn refuse(&self, statuses: &[u16]) {
        let mut refusals = self
            .state
            .refusals
            .lock()
            .expect("nothing panics under this lock");
        refusals.extend(statuses.iter().rev());
    }

    /// Sends a text to every open connection that is being served, or to those of one path.
    pub fn push(&self, path: Option<&str>, text: &str) {
        for open in self.lock_open().values() {
            if path.is_none_or(|path| path == open.path) {
                // A connection that ends at this instant misses the message, as it would on a network.
                open.pushes.send(Message::text(text)).unwrap_or_default();
            }
        }
    }

    /// Hangs up on every open connection without a close frame; new ones are accepted.
    pub fn hang_up_all(&self) {
        for open in self.lock_open().values() {
            hang_up(&open.stream);
        }
    }

    /// Returns the connections so far, in order of their handshakes.
    pub fn visits(&self) -> Vec<Visit> {
        self.state
            .visits
            .lock()
            .expect("nothing panics under this lock")
            .clone()
    }

    /// Returns the messages so far, in order, close frames included.
    pub fn received(&self) -> Vec<Received> {
        self.state
            .received
            .lock()
            .expect("nothing panics under this lock")
            .clone()
    }

    /// Returns the text messages so far.
    pub fn texts(&self) -> Vec<String> {
        let texts = self
            .received()
            .into_iter()
            .filter_map(|received| match received.message {
                Message::Text(text) => Some(text.to_string()),
                _ => None,
            });
        texts.collect()
    }

    pub fn ping_count(&self) -> usize {
        self.state.pings.load(Ordering::Relaxed)
    }

    pub fn pong_count(&self) -> usize {
        self.state.pongs.load(Ordering::Relaxed)
    }

    /// Returns how many TCP connections were accepted, those with a refused handshake included.
    pub fn connections_opened(&self) -> u64 {
        self.state.connections_opened.load(Ordering::Relaxed)
    }

    /// Returns how many connections are open now.
    pub fn open_count(&self) -> usize {
        self.lock_open().len()
    }

    fn lock_open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.state
            .open
            .lock()
            .expect("nothing panics under this lock")
    }
}

impl Drop for WsServer {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // The connection wakes the accepting thread; if it is refused there is nobody to wake or wait for.
        if let (Ok(_), Some(accepting)) = (TcpStream::connect(self.address), self.accepting.take())
        {
            accepting.join().unwrap_or_default();
        }
        self.hang_up_all();
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
        thread::spawn(move || {
            // A connection that ends in an error is the script's or the client's wish, and is seen by
            // the test in what the client does.
            converse(stream, number, &shared).unwrap_or_default();
            shared
                .open
                .lock()
                .expect("nothing panics under this lock")
                .remove(&number);
        });
    }
}

// The callback's error type is tungstenite's.
#[allow(clippy::result_large_err)]
fn converse(stream: TcpStream, number: u64, state: &Arc<State>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let handle = stream.try_clone()?;
    let refusal = state
        .refusals
        .lock()
        .expect("nothing panics under this lock")
        .pop();
    let mut visit = Visit {
        connection: number,
        target: String::new(),
        headers: Vec::new(),
        at: Instant::now(),
    };
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        visit.target = request.uri().to_string();
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        visit.headers = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        match refusal {
            None => Ok(response),
            Some(status) => Err(http::Response::builder()
                .status(status)
                .body(Some("refused by the script".to_owned()))
                .expect("a status and a body make a response")),
        }
    };
    let socket = accept_hdr(stream, callback).map_err(|_| Error::ConnectionClosed)?;
    let path = visit
        .target
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (pushes, pushed) = channel();
    let open = Open {
        path: path.clone(),
        pushes,
        stream: handle,
    };
    state
        .open
        .lock()
        .expect("nothing panics under this lock")
        .insert(number, open);
    state
        .visits
        .lock()
        .expect("nothing panics under this lock")
        .push(visit.clone());
    let handler = {
        let routes = state.routes.read().expect("nothing panics under this lock");
        let fits = |route: &str| match route.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == route,
        };
        routes
            .iter()
            .rev()
            .find(|(route, _)| fits(route))
            .map(|(_, handler)| Arc::clone(handler))
    };
    let mut connection = Connection {
        number,
        visit,
        socket,
        pushed,
        state: Arc::clone(state),
        received_count: 0,
    };
    match handler {
        Some(handler) => handler(&mut connection),
        None => connection.serve(),
    }
}

impl Connection {
    /// Plays a script; one that does not end the connection goes on with [`Step::Serve`].
    ///
    /// # Errors
    /// The connection ended.
    pub fn play(&mut self, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::Text(body) => self.send(Message::text(body.as_str()))?,
                Step::Binary(body) => self.send(Message::binary(body.clone()))?,
                Step::Ping(payload) => self.send(Message::Ping(payload.clone().into()))?,
                Step::Await(count) => {
                    self.read_until(|connection| connection.received_count >= *count)?
                }
                Step::Pause(pause) => {
                    let end = Instant::now() + *pause;
                    self.read_until(|_| Instant::now() >= end)?;
                }
                Step::Close(code, reason) => {
                    let frame = CloseFrame {
                        code: (*code).into(),
                        reason: reason.as_str().into(),
                    };
                    self.socket.close(Some(frame))?;
                    return self.read_until(|_| false);
                }
                Step::HangUp => {
                    hang_up(self.socket.get_ref());
                    return Ok(());
                }
                Step::Garbage(bytes) => self.socket.get_mut().write_all(bytes)?,
                Step::Stall => {
                    let end = Instant::now() + STALL_MAX;
                    while Instant::now() < end && !self.state.stopped.load(Ordering::SeqCst) {
                        thread::sleep(TURN);
                    }
                    return Ok(());
                }
                Step::Hush(pause) => thread::sleep(*pause),
                Step::Serve => return self.serve(),
            }
        }
        self.serve()
    }

    /// Sends a message at once.
    ///
    /// # Errors
    /// The connection ended.
    pub fn send(&mut self, message: Message) -> Result<(), Error> {
        self.socket.get_ref().set_read_timeout(None)?;
        self.socket.send(message)
    }

    /// Queues a message without flushing, for load; [`Connection::flush`] ends a run of them.
    ///
    /// # Errors
    /// The connection ended.
    pub fn write(&mut self, message: Message) -> Result<(), Error> {
        self.socket.write(message)
    }

    /// Sends what [`Connection::write`] queued.
    ///
    /// # Errors
    /// The connection ended.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.socket.flush()
    }

    /// Reads, answers pings and sends what is pushed, until the connection ends.
    ///
    /// # Errors
    /// The connection ended.
    pub fn serve(&mut self) -> Result<(), Error> {
        self.read_until(|_| false)
    }

    /// As [`Connection::serve`], until `done` holds.
    fn read_until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        self.socket.get_ref().set_read_timeout(Some(TURN))?;
        while !done(self) && !self.state.stopped.load(Ordering::SeqCst) {
            while let Ok(message) = self.pushed.try_recv() {
                self.socket.send(message)?;
            }
            match self.socket.read() {
                Ok(message) => self.note(message),
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&mut self, message: Message) {
        match message {
            Message::Ping(_) => {
                self.state.pings.fetch_add(1, Ordering::Relaxed);
            }
            Message::Pong(_) => {
                self.state.pongs.fetch_add(1, Ordering::Relaxed);
            }
            message => {
                self.received_count += 1;
                let received = Received {
                    connection: self.number,
                    message,
                };
                self.state
                    .received
                    .lock()
                    .expect("nothing panics under this lock")
                    .push(received);
            }
        }
    }
}
