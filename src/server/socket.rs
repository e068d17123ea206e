//! The control socket: a thread for each client, so that none waits for another.
//!
//! A client that reads slowly lets its own query wait, since the pieces of an answer go straight into the
//! socket; one that goes away, or sends `{"cancel": true}`, ends its query.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::address::{Address, socket_path};
use super::control::Control;
use super::protocol::{Event, Request};
use super::service::Service;

/// Clients at once. Each has two threads and a query; a hundred people and scripts are a busy pipeline.
const CLIENTS_MAX: usize = 100;

/// The bytes of one request: a script of many statements fits, a stream by mistake does not.
const REQUEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a client may leave an answer unread. Its query holds a snapshot of the state all the while,
/// and what is deleted meanwhile takes up space until it is over.
const UNREAD_MAX: Duration = Duration::from_secs(600);

/// How long the end of the run waits for statements, once they are cancelled.
const END_MAX: Duration = Duration::from_secs(5);

/// Requests that wait on one connection: a client reads its answer before it asks again.
const REQUESTS_MAX: usize = 1;

/// A served control socket, until the value is dropped.
pub struct Server {
    state_dir: PathBuf,
    clients: Arc<Clients>,
    accepting: Option<JoinHandle<()>>,
    /// What the thread accepts from, to wake it by.
    listener: UnixStream,
}

impl Server {
    /// Makes the socket, in the place of one that a killed owner left, and serves it. The caller owns the
    /// directory.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(service: Arc<Service>, state_dir: &Path) -> anyhow::Result<Self> {
        let path = socket_path(state_dir);
        let listener = listen(state_dir, &path)
            .with_context(|| format!("cannot make the control socket `{}`", path.display()))?;
        let clients = Arc::new(Clients::default());
        let shared = Arc::clone(&clients);
        let wakes = UnixStream::from(OwnedFd::from(listener.try_clone()?));
        let accepting = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || accept(&listener, &service, &shared))?;
        Ok(Self {
            state_dir: state_dir.to_owned(),
            clients,
            accepting: Some(accepting),
            listener: wakes,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.clients.over.store(true, Ordering::SeqCst);
        // By its own socket: the path may be gone, or another owner's by now.
        match self.listener.shutdown(Shutdown::Both) {
            Err(error) => tracing::debug!(%error, "nobody accepts connections any more"),
            Ok(()) => {
                if let Some(thread) = self.accepting.take()
                    && thread.join().is_err()
                {
                    tracing::error!("the thread of the control socket panicked");
                }
            }
        }
        if let Err(error) = std::fs::remove_file(socket_path(&self.state_dir)) {
            tracing::debug!(%error, "the control socket is gone already");
        }
        self.clients.end();
        self.clients.wait(END_MAX);
    }
}

/// Binds under another name and moves it into place when nobody but the owner may use it.
fn listen(state_dir: &Path, path: &Path) -> std::io::Result<UnixListener> {
    const NEW: &str = "control.new";
    let new = state_dir.join(NEW);
    if let Err(error) = std::fs::remove_file(&new)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&Address::new(state_dir, NEW)?.path)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

/// The clients that are connected.
#[derive(Default)]
struct Clients {
    over: AtomicBool,
    connected: Mutex<Vec<Connected>>,
    left: Condvar,
}

struct Connected {
    id: u64,
    script: Arc<Current>,
    stream: UnixStream,
}

/// What runs for one client.
#[derive(Default)]
struct Current {
    script: Mutex<(Arc<Control>, Presence)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Here,
    Gone,
}

impl Current {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Arc<Control>, Presence)> {
        self.script
            .lock()
            .expect("no panic happens under this lock")
    }

    fn control(&self) -> Arc<Control> {
        Arc::clone(&self.lock().0)
    }

    fn cancel(&self) {
        self.lock().0.cancel();
    }

    /// Cancels what runs and what is still to come.
    fn leave(&self) {
        let mut script = self.lock();
        script.1 = Presence::Gone;
        script.0.cancel();
    }

    /// Begins anew: a cancel that came too late is not for the next request.
    fn renew(&self) {
        let mut script = self.lock();
        if script.1 == Presence::Here {
            script.0 = Arc::default();
        }
    }
}

impl Clients {
    fn connected(&self) -> std::sync::MutexGuard<'_, Vec<Connected>> {
        self.connected
            .lock()
            .expect("no panic happens under this lock")
    }

    fn end(&self) {
        for client in self.connected().iter() {
            client.script.leave();
            // Ends the thread that reads requests; the answer may still be written.
            client.stream.shutdown(Shutdown::Read).unwrap_or_default();
        }
    }

    fn wait(&self, bound: Duration) {
        let connected = self.connected();
        let waited = self
            .left
            .wait_timeout_while(connected, bound, |all| !all.is_empty());
        let (connected, timeout) = waited.expect("no panic happens under this lock");
        if timeout.timed_out() {
            tracing::warn!(
                clients = connected.len(),
                "clients are still being answered at the end"
            );
        }
    }
}

fn accept(listener: &UnixListener, service: &Arc<Service>, clients: &Arc<Clients>) {
    for (id, stream) in (0_u64..).zip(listener.incoming()) {
        if clients.over.load(Ordering::SeqCst) {
            return;
        }
        let served = stream.and_then(|stream| serve(id, stream, service, clients));
        if let Err(error) = served {
            tracing::warn!("a client of the control socket cannot be served: {error}");
            // Out of descriptors or threads: the next one may fare better.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Starts the threads of one client.
fn serve(
    id: u64,
    mut stream: UnixStream,
    service: &Arc<Service>,
    clients: &Arc<Clients>,
) -> std::io::Result<()> {
    stream.set_write_timeout(Some(UNREAD_MAX))?;
    let script = Arc::new(Current::default());
    let mut connected = clients.connected();
    if connected.len() >= CLIENTS_MAX {
        let text = format!("error: {CLIENTS_MAX} clients are connected already; try again later");
        let answer = Event::Error(text).to_line() + &Event::Done.to_line();
        return stream.write_all(answer.as_bytes());
    }
    connected.push(Connected {
        id,
        script: Arc::clone(&script),
        stream: stream.try_clone()?,
    });
    drop(connected);
    let leaving = Leaving {
        id,
        clients: Arc::clone(clients),
    };
    let (requests, queue) = sync_channel(REQUESTS_MAX);
    let (reader, cancels) = (stream.try_clone()?, Arc::clone(&script));
    std::thread::Builder::new()
        .name(format!("client-{id}-in"))
        .spawn(move || {
            let mut reader = BufReader::new(reader);
            while let Some(request) = read_request(&mut reader) {
                match request {
                    Ask::Cancel => cancels.cancel(),
                    Ask::Run(request) => {
                        if requests.send(request).is_err() {
                            break;
                        }
                    }
                }
            }
            // The client is gone: whatever runs for it runs for nobody.
            drop(requests);
            cancels.leave();
        })?;
    let service = Arc::clone(service);
    std::thread::Builder::new()
        .name(format!("client-{id}"))
        .spawn(move || {
            let _leaving = leaving;
            // Its share in the state goes first.
            let service = service;
            answer(&service, &queue, &stream, &script);
            // Ends the reading thread too; the client may have closed already.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        })?;
    Ok(())
}

/// Takes a client off the list when its thread ends, however it does.
struct Leaving {
    id: u64,
    clients: Arc<Clients>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.clients
            .connected()
            .retain(|client| client.id != self.id);
        self.clients.left.notify_all();
    }
}

/// Answers requests until the client goes away.
fn answer(
    service: &Service,
    queue: &Receiver<anyhow::Result<Request>>,
    mut stream: &UnixStream,
    script: &Current,
) {
    while let Ok(request) = queue.recv() {
        let mut gone = false;
        let mut emit = |event: Event| -> anyhow::Result<()> {
            let written = stream.write_all(event.to_line().as_bytes());
            gone |= written.is_err();
            Ok(written?)
        };
        match request {
            Ok(request) => {
                service.run(&request, &script.control(), &mut emit);
            }
            Err(error) => emit(Event::Error(format!("error: {error:#}"))).unwrap_or_default(),
        }
        emit(Event::Done).unwrap_or_default();
        if gone {
            return;
        }
        script.renew();
    }
}

enum Ask {
    Run(anyhow::Result<Request>),
    Cancel,
}

/// Reads the next line; `None` if there is none.
fn read_request(reader: &mut BufReader<UnixStream>) -> Option<Ask> {
    let mut line = String::new();
    let read = reader.by_ref().take(REQUEST_BYTES_MAX).read_line(&mut line);
    match read {
        Ok(0) | Err(_) => None,
        Ok(_) if !line.ends_with('\n') => {
            let error =
                anyhow::anyhow!("a request has more than {REQUEST_BYTES_MAX} bytes, or is cut off");
            Some(Ask::Run(Err(error)))
        }
        Ok(_) => Some(match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(value) if value["cancel"] == true => Ask::Cancel,
            Ok(value) => {
                Ask::Run(serde_json::from_value(value).context("the request is not understood"))
            }
            Err(error) => Ask::Run(Err(error).context("the request is no JSON")),
        }),
    }
}
