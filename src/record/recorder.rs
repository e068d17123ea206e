//! Writes a record, line by line, while a pipeline runs.
//!
//! Each line is one write to the file, so that a process which is killed leaves whole lines behind, and at
//! most one that is cut. Every text goes through the [`Scrub`] first. Trouble with the file is told once and
//! never stops the pipeline; [`Recorder::finish`] says that the record is not whole.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::scrub::{MASK, Scrub, SharedScrub};
use super::{Content, Event, FORMAT, Line};
use crate::secret::Secret;

/// The file in a record's folder.
pub const FILE: &str = "record.jsonl";

/// Parts of the names of request headers whose values are credentials.
const SENT_CREDENTIALS: &[&str] = &[
    "auth",
    "cookie",
    "key",
    "token",
    "secret",
    "passphrase",
    "password",
    "sign",
    "credential",
];

/// As [`SENT_CREDENTIALS`], of responses: a token there may be the way to the next page.
const RECEIVED_CREDENTIALS: &[&str] = &["authorization", "cookie"];

/// Writes the record of a run. Shared by all that read from outside.
pub struct Recorder {
    path: PathBuf,
    file: Mutex<File>,
    scrub: SharedScrub,
    /// Why the record is not whole.
    trouble: Mutex<Option<String>>,
    /// Something came in, or was due.
    used: AtomicBool,
}

impl Recorder {
    /// Begins a record in `folder`, which is made if need be.
    ///
    /// # Errors
    /// There is a record already, or the folder cannot be written.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        let file = File::options().append(true).create_new(true).open(&path);
        let file = file.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => anyhow::anyhow!(
                "`{}` is there already: remove it, or choose another folder",
                path.display()
            ),
            _ => anyhow::Error::from(error)
                .context(format!("cannot write the record `{}`", path.display())),
        })?;
        Ok(Self {
            path,
            file: Mutex::new(file),
            scrub: SharedScrub::default(),
            trouble: Mutex::default(),
            used: AtomicBool::new(false),
        })
    }

    /// Writes the first line.
    pub fn begin(&self, at: DateTime<Utc>, sources: Vec<String>) {
        let omlsp = env!("CARGO_PKG_VERSION").to_owned();
        let begin = Event::Begin {
            format: FORMAT,
            omlsp,
            sources,
        };
        self.write(at, begin);
    }

    /// Takes these out of everything that is written from now on.
    pub fn hide<'s>(&self, secrets: impl IntoIterator<Item = &'s Secret>) {
        self.scrub.hide(secrets);
    }

    /// Returns a text without secrets.
    pub fn text(&self, text: &str) -> String {
        self.scrub.read().text(text)
    }

    /// Returns a URL without secrets.
    pub fn url(&self, url: &str) -> String {
        self.scrub.read().url(url)
    }

    /// Returns bytes without secrets, in the form in which a line has them.
    pub fn content(&self, bytes: &[u8]) -> Content {
        Content::of(&self.scrub.read().bytes(bytes))
    }

    /// As [`Recorder::content`], also without secrets that only one exchange has, such as its signature.
    pub fn content_without(&self, bytes: &[u8], once: &[Secret]) -> Content {
        Content::of(&self.without(bytes, once))
    }

    fn without(&self, bytes: &[u8], once: &[Secret]) -> Vec<u8> {
        let scrub = self.scrub.read();
        let clean = scrub.bytes(bytes);
        if once.is_empty() {
            return clean;
        }
        let mut more = Scrub::default();
        once.iter().for_each(|secret| more.hide(secret));
        more.bytes(&clean)
    }

    /// Returns a request header's value; those that are credentials by their name are hidden as a whole.
    pub fn sent_header(&self, name: &str, value: &str) -> String {
        self.header(name, value, SENT_CREDENTIALS)
    }

    /// Returns a response header's value, without sessions and without the secrets of its exchange.
    pub fn received_header(&self, name: &str, value: &str, once: &[Secret]) -> String {
        let value = self.header(name, value, RECEIVED_CREDENTIALS);
        String::from_utf8_lossy(&self.without(value.as_bytes(), once)).into_owned()
    }

    fn header(&self, name: &str, value: &str, credentials: &[&str]) -> String {
        let name = name.to_ascii_lowercase();
        if credentials.iter().any(|word| name.contains(word)) {
            return MASK.to_owned();
        }
        self.text(value)
    }

    /// Notes that the run ended while an entity was at work.
    pub fn stopped(&self, at: DateTime<Utc>, entity: &str) {
        let entity = entity.to_owned();
        self.write(at, Event::Stopped { entity });
    }

    /// Removes the record if nothing is in it: the run failed before it began, and the next one may be recorded there.
    pub fn discard_unused(&self) {
        if self.used.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), "the record of nothing cannot be removed: {error}");
        }
    }

    /// Writes a line. The texts in it have been scrubbed.
    pub fn write(&self, at: DateTime<Utc>, event: Event) {
        if !matches!(event, Event::Begin { .. } | Event::Cursor { .. }) {
            self.used.store(true, Ordering::Relaxed);
        }
        let line = Line { at, event };
        let mut text = serde_json::to_vec(&line).expect("a line has no keys but texts");
        text.push(b'\n');
        let mut file = self.file.lock().expect("no panic happens under this lock");
        if let Err(error) = file.write_all(&text) {
            drop(file);
            self.note(&error);
        }
    }

    fn note(&self, error: &std::io::Error) {
        let mut trouble = self
            .trouble
            .lock()
            .expect("no panic happens under this lock");
        if trouble.is_none() {
            tracing::error!(path = %self.path.display(), "the record cannot be written: {error}");
            *trouble = Some(error.to_string());
        }
    }

    /// Writes the last line and makes the record durable.
    ///
    /// # Errors
    /// Some of it could not be written.
    pub fn finish(&self, at: DateTime<Utc>) -> anyhow::Result<()> {
        self.write(at, Event::End {});
        let file = self.file.lock().expect("no panic happens under this lock");
        let synced = file.sync_all();
        drop(file);
        if let Err(error) = synced {
            self.note(&error);
        }
        let trouble = self
            .trouble
            .lock()
            .expect("no panic happens under this lock");
        match &*trouble {
            None => Ok(()),
            Some(error) => {
                anyhow::bail!("the record `{}` is not whole: {error}", self.path.display())
            }
        }
    }
}
