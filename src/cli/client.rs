//! Statements to a pipeline: through the socket of its owner, or over its state when nobody runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::state_dir::{self, StateDir};
use crate::engine::Database;
use crate::options::Environment;
use crate::server::{self, Control, Event, Request, Service, Settings, Want};

/// How long an owner may take to answer at all: it starts, it ends, or it is a client as short-lived as we are.
const OWNER_MAX: Duration = Duration::from_secs(10);

/// Between two looks at who owns the directory.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What becomes of a state directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Create,
    Refuse,
}

/// Gives statements to the pipeline of one state directory.
pub struct Client {
    state_dir: PathBuf,
    missing: Missing,
    settings: Settings,
    cancel: Arc<Cancel>,
}

enum Peer {
    Owner(UnixStream),
    State(StateDir),
}

impl Client {
    pub fn new(arguments: &state_dir::Arguments, missing: Missing) -> Self {
        Self {
            state_dir: arguments.path(),
            missing,
            settings: Settings::default(),
            cancel: Arc::default(),
        }
    }

    /// Returns the handle that cancels what [`Client::run`] runs.
    pub fn cancel(&self) -> Arc<Cancel> {
        Arc::clone(&self.cancel)
    }

    /// Executes a script; `name` is what it is called in messages. Returns whether all went well.
    ///
    /// # Errors
    /// Nobody answers, or whatever `each` returns.
    pub fn run(
        &mut self,
        sql: &str,
        name: &str,
        each: &mut dyn FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let request = Request {
            sql: sql.to_owned(),
            name: name.to_owned(),
            settings: self.settings.clone(),
            ..Request::default()
        };
        self.ask(&request, each)
    }

    /// Asks for something else than statements. Returns whether all went well.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub fn want(
        &mut self,
        want: Want,
        each: &mut dyn FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let request = Request {
            want,
            ..Request::default()
        };
        self.ask(&request, each)
    }

    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let mut settings = None;
        let mut failed = false;
        let mut each = |event: Event| {
            match &event {
                Event::Settings(new) => settings = Some(new.clone()),
                Event::Error(_) => failed = true,
                _ => {}
            }
            each(event)
        };
        let answered = match self.peer()? {
            Peer::Owner(stream) => self.ask_owner(stream, request, &mut each),
            Peer::State(owned) => self.ask_state(&owned, request, &mut each),
        };
        self.cancel.set(None);
        answered?;
        if let Some(settings) = settings {
            self.settings = settings;
        }
        Ok(!failed)
    }

    fn peer(&self) -> anyhow::Result<Peer> {
        let folder = self.state_dir.display();
        let start = Instant::now();
        loop {
            if let Ok(stream) = server::connect(&self.state_dir) {
                return Ok(Peer::Owner(stream));
            }
            if self.missing == Missing::Refuse && !state_dir::has_state(&self.state_dir) {
                anyhow::bail!("there is no state in `{folder}`: nothing has run there");
            }
            if let Some(owned) = StateDir::try_own(&self.state_dir)? {
                return Ok(Peer::State(owned));
            }
            if start.elapsed() > OWNER_MAX {
                let owner = state_dir::owner(&self.state_dir);
                let owner = owner.map_or_else(String::new, |id| format!(" (process {id})"));
                anyhow::bail!("the owner of `{folder}`{owner} does not answer");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn ask_owner(
        &self,
        mut stream: UnixStream,
        request: &Request,
        each: &mut dyn FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        const LOST: &str = "the pipeline closed the connection before the end of its answer";
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        // A server that refuses does so without reading: its answer says why.
        let sent = stream.write_all(line.as_bytes());
        self.cancel.set(Some(Running::Owner(stream.try_clone()?)));
        let mut reader = BufReader::new(stream);
        loop {
            line.clear();
            let count = reader.read_line(&mut line).context(LOST)?;
            if count == 0 {
                sent.context(LOST)?;
                anyhow::bail!(LOST);
            }
            let event = Event::of_line(&line)?;
            let done = event == Event::Done;
            each(event)?;
            if done {
                return Ok(());
            }
        }
    }

    fn ask_state(
        &self,
        owned: &StateDir,
        request: &Request,
        each: &mut dyn FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let database = Database::open(Some(&owned.database()))?;
        let service = Service::over_state(database, owned.path(), Environment::of_process())?;
        let control = Arc::new(Control::default());
        self.cancel.set(Some(Running::State(Arc::clone(&control))));
        let mut refused = None;
        service.run(request, &control, &mut |event| {
            each(event).map_err(|error| {
                // What the output says, not what the service makes of it.
                refused = Some(error);
                anyhow::anyhow!("nobody reads the answer")
            })
        });
        match refused {
            Some(error) => Err(error),
            None => each(Event::Done),
        }
    }
}

enum Running {
    Owner(UnixStream),
    State(Arc<Control>),
}

/// Cancels what runs, from another thread.
#[derive(Default)]
pub struct Cancel {
    running: Mutex<Option<Running>>,
}

impl Cancel {
    fn set(&self, running: Option<Running>) {
        *self
            .running
            .lock()
            .expect("no panic happens under this lock") = running;
    }

    /// Cancels what runs; says whether anything did.
    pub fn cancel(&self) -> bool {
        let running = self
            .running
            .lock()
            .expect("no panic happens under this lock");
        match &*running {
            None => false,
            Some(Running::State(control)) => {
                control.cancel();
                true
            }
            Some(Running::Owner(stream)) => {
                let mut stream = stream;
                // If the pipeline is gone the answer ends by itself.
                stream.write_all(b"{\"cancel\":true}\n").unwrap_or_default();
                true
            }
        }
    }
}
