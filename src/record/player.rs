//! Reads a record and gives what is in it: requests their answers, sources what came to them.
//!
//! Opened, it knows where each line is and what it is about; the contents are read from the file when they
//! are wanted, so that memory grows with the number of lines only. An answer is found by entity, method,
//! URL and body, first among those of the same trigger, in the order recorded.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::nearest::{self, Key};
use super::scrub::SharedScrub;
use super::{Content, Event, Exchange, FILE, FORMAT, Line, VirtualClock};
use crate::secret::Secret;

/// A record that is played. Shared by all that read from it.
pub struct Player {
    path: PathBuf,
    file: File,
    pub clock: VirtualClock,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    /// It ends without a last line: who wrote it was killed.
    cut: bool,
    sources: Vec<String>,
    cursors: HashMap<String, String>,
    /// The entities that the end of the run interrupted.
    stopped: HashSet<String>,
    scrub: SharedScrub,
    left: Mutex<Left>,
}

/// What has not been given yet.
#[derive(Default)]
struct Left {
    exchanges: HashMap<Key, VecDeque<Place>>,
    /// Exchanges left, by entity.
    exchange_counts: HashMap<String, usize>,
    happenings: BTreeMap<String, VecDeque<Happening>>,
    /// The first request that was not found since it was last asked.
    lack: Option<Lack>,
    /// Every request there was, for messages.
    keys: Vec<(Key, usize)>,
    /// Every WebSocket connection that was wanted, as if it were a request.
    dials: Vec<(Key, usize)>,
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: usize,
    number: usize,
    at: DateTime<Utc>,
    /// Of an exchange: the trigger it belongs to.
    due: Option<DateTime<Utc>>,
}

/// Something that came to a source, not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Happening {
    place: Place,
    /// The instant of the schedule, for a poll.
    pub tick: Option<DateTime<Utc>>,
    /// Whether it is a message, rather than the news that a connection came or went.
    pub is_message: bool,
}

impl Happening {
    pub fn at(&self) -> DateTime<Utc> {
        self.place.at
    }
}

/// What comes next in the whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: DateTime<Utc>,
    /// The number of its line, which decides among equals.
    pub number: usize,
    pub entity: String,
    /// The instant of the schedule, for a poll.
    pub tick: Option<DateTime<Utc>>,
}

/// A request that wants its answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub entity: &'a str,
    pub due: Option<DateTime<Utc>>,
    pub method: &'a str,
    pub url: &'a str,
    pub body: Option<&'a [u8]>,
}

/// A request that the record has no answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub entity: String,
    pub message: String,
}

impl Player {
    /// Reads the record in `folder`, or the record that `folder` itself is.
    ///
    /// # Errors
    /// There is none, or a line other than the last is none of a record.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = match folder.is_dir() {
            true => folder.join(FILE),
            false => folder.to_owned(),
        };
        let file = File::open(&path)
            .with_context(|| format!("there is no record `{}`", path.display()))?;
        let mut reading = Reading::default();
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        while reader.read_until(b'\n', &mut text)? > 0 {
            reading.number += 1;
            let whole = text.last() == Some(&b'\n');
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) => reading.take(line, text.len())?,
                // Only the last line can be without its end.
                Err(_) if !whole => break,
                Err(_) if text.trim_ascii().is_empty() => {}
                Err(error) => anyhow::bail!(
                    "{}:{}: not a line of a record: {error}",
                    path.display(),
                    reading.number
                ),
            }
            reading.offset += text.len() as u64;
            text.clear();
        }
        reading.finish(path, file)
    }

    pub fn begin(&self) -> DateTime<Utc> {
        self.begin
    }

    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// Says whether the record was cut off while it was written.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether a source was part of the recorded run.
    pub fn has_source(&self, entity: &str) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| source.eq_ignore_ascii_case(entity))
    }

    /// Returns where a source stood when the recorded run began, if it had run before.
    pub fn cursor(&self, entity: &str) -> Option<&str> {
        self.cursors.get(&key_of(entity)).map(String::as_str)
    }

    /// Takes these out of requests before they are compared.
    pub fn hide<'s>(&self, secrets: impl IntoIterator<Item = &'s Secret>) {
        self.scrub.hide(secrets);
    }

    /// Returns a text as the recorder would have written it.
    pub fn text(&self, text: &str) -> String {
        self.scrub.read().text(text)
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().expect("no panic happens under this lock")
    }

    fn read(&self, place: Place) -> anyhow::Result<Line> {
        let mut text = vec![0; place.length];
        let read = self.file.read_exact_at(&mut text, place.offset);
        let read = read.map_err(anyhow::Error::from);
        let line = read.and_then(|()| Ok(serde_json::from_slice(&text)?));
        line.with_context(|| {
            let path = self.path.display();
            format!("{path}:{}: the line has changed", place.number)
        })
    }

    /// Returns the answer to a request and puts the clock to the instant at which it was asked for;
    /// `None` if the record has none, which [`Player::take_lack`] then tells.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn exchange(&self, asked: &Asked<'_>) -> anyhow::Result<Option<Exchange>> {
        let key = self.key(asked);
        let mut left = self.left();
        let places = left.exchanges.get_mut(&key);
        let place = places.and_then(|places| {
            let of_trigger = places.iter().position(|place| place.due == asked.due);
            places.remove(of_trigger.unwrap_or(0))
        });
        let Some(place) = place else {
            // The first one says most: the others may follow from it.
            if left.lack.is_none() {
                let message = nearest::message(&key, &left.keys);
                let entity = asked.entity.to_owned();
                left.lack = Some(Lack { entity, message });
            }
            return Ok(None);
        };
        if let Some(count) = left.exchange_counts.get_mut(&key.entity) {
            *count -= 1;
        }
        drop(left);
        self.clock.advance(place.at);
        match self.read(place)?.event {
            Event::Http(exchange) => Ok(Some(*exchange)),
            _ => anyhow::bail!(
                "line {} of the record is no exchange any more",
                place.number
            ),
        }
    }

    fn key(&self, asked: &Asked<'_>) -> Key {
        let scrub = self.scrub.read();
        Key {
            entity: key_of(asked.entity),
            method: asked.method.to_owned(),
            url: scrub.text(asked.url),
            body: asked.body.map(|body| scrub.bytes(body)),
        }
    }

    /// Returns a URL as the recorder would have written it.
    pub fn url(&self, url: &str) -> String {
        self.scrub.read().url(url)
    }

    /// Says whether the recorded run wanted this WebSocket connection, its texts as recorded; if not,
    /// [`Player::take_lack`] tells.
    pub fn has_dialled(&self, entity: &str, url: &str, subscribe: &[String]) -> bool {
        let key = dial_key(&key_of(entity), url, subscribe);
        let mut left = self.left();
        let found = left.dials.iter().any(|(known, _)| *known == key);
        if !found && left.lack.is_none() {
            let message = nearest::message(&key, &left.dials);
            let entity = entity.to_owned();
            left.lack = Some(Lack { entity, message });
        }
        found
    }

    /// Returns the first request that was not found since the last call.
    pub fn take_lack(&self) -> Option<Lack> {
        self.left().lack.take()
    }

    /// Says whether the recorded run ended while this entity was at work and everything it had got until
    /// then has been given: what it wants now, it did not get then either.
    pub fn is_over(&self, entity: &str) -> bool {
        let entity = key_of(entity);
        let left = self.left().exchange_counts.get(&entity).copied();
        (self.cut || self.stopped.contains(&entity)) && left.unwrap_or(0) == 0
    }

    /// Returns what comes next to any of these sources.
    pub fn next(&self, wanted: &dyn Fn(&str) -> bool) -> Option<Due> {
        let left = self.left();
        let fronts = (left.happenings.iter())
            .filter(|(entity, _)| wanted(entity))
            .filter_map(|(entity, happenings)| Some((entity, happenings.front()?)));
        let (entity, front) =
            fronts.min_by_key(|(_, front)| (front.place.at, front.place.number))?;
        Some(Due {
            at: front.place.at,
            number: front.place.number,
            entity: entity.clone(),
            tick: front.tick,
        })
    }

    /// Says whether polls of a source are in the record, so that they tell its schedule.
    pub fn has_ticks(&self, entity: &str) -> bool {
        let left = self.left();
        let happenings = left.happenings.get(&key_of(entity));
        happenings.is_some_and(|happenings| happenings.iter().any(|next| next.tick.is_some()))
    }

    /// Takes what comes next to a source, if there is something and it is as wanted.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn take_if(
        &self,
        entity: &str,
        wanted: impl FnOnce(&Happening) -> bool,
    ) -> anyhow::Result<Option<Line>> {
        let mut left = self.left();
        let Some(happenings) = left.happenings.get_mut(&key_of(entity)) else {
            return Ok(None);
        };
        let Some(next) = happenings.front().copied().filter(wanted) else {
            return Ok(None);
        };
        happenings.pop_front();
        drop(left);
        self.read(next.place).map(Some)
    }
}

/// Names are compared without regard to case.
fn key_of(entity: &str) -> String {
    entity.to_lowercase()
}

/// Returns a WebSocket connection with what subscribes as a request.
fn dial_key(entity: &str, url: &str, subscribe: &[String]) -> Key {
    let body = (!subscribe.is_empty()).then(|| subscribe.join("\n").into_bytes());
    Key {
        entity: entity.to_owned(),
        method: "connect".to_owned(),
        url: url.to_owned(),
        body,
    }
}

/// A record while it is opened.
#[derive(Default)]
struct Reading {
    number: usize,
    offset: u64,
    begin: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    ended: bool,
    sources: Vec<String>,
    cursors: HashMap<String, String>,
    stopped: HashSet<String>,
    left: Left,
}

impl Reading {
    fn take(&mut self, line: Line, length: usize) -> anyhow::Result<()> {
        let place = Place {
            offset: self.offset,
            length,
            number: self.number,
            at: line.at,
            due: None,
        };
        if self.begin.is_none() {
            let Event::Begin {
                format, sources, ..
            } = line.event
            else {
                anyhow::bail!("the first line of a record is of the kind `begin`, this is none");
            };
            anyhow::ensure!(
                format <= FORMAT,
                "the record has format {format}, this omlsp knows up to {FORMAT}: run a newer omlsp"
            );
            (self.begin, self.sources) = (Some(line.at), sources);
            return Ok(());
        }
        self.end = self.end.max(Some(line.at));
        let entity = line.event.entity().map(key_of).unwrap_or_default();
        let (tick, is_message) = match &line.event {
            Event::Http(exchange) => {
                self.exchange(exchange, place)?;
                return Ok(());
            }
            Event::Begin { .. } => anyhow::bail!("line {}: a record begins once", self.number),
            Event::End {} => {
                self.ended = true;
                return Ok(());
            }
            Event::Cursor { cursor, .. } => {
                self.cursors.insert(entity, cursor.clone());
                return Ok(());
            }
            Event::Stopped { .. } => {
                self.stopped.insert(entity);
                return Ok(());
            }
            Event::Tick { due, .. } => (Some(*due), false),
            Event::Frame { .. } | Event::Message(_) | Event::Rows { .. } => (None, true),
            Event::Dial { url, subscribe, .. } => {
                let key = dial_key(&entity, url, subscribe);
                self.left.dials.push((key, self.number));
                (None, false)
            }
            Event::Open { .. } | Event::Close { .. } | Event::Refused { .. } => (None, false),
        };
        let happening = Happening {
            place,
            tick,
            is_message,
        };
        let happenings = self.left.happenings.entry(entity).or_default();
        happenings.push_back(happening);
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange, place: Place) -> anyhow::Result<()> {
        let body = exchange.request.body.as_ref();
        let key = Key {
            entity: key_of(&exchange.entity),
            method: exchange.request.method.clone(),
            url: exchange.request.url.clone(),
            body: body.map(Content::bytes).transpose()?,
        };
        let place = Place {
            due: exchange.due,
            ..place
        };
        let counts = &mut self.left.exchange_counts;
        *counts.entry(key.entity.clone()).or_default() += 1;
        self.left.keys.push((key.clone(), self.number));
        let places = self.left.exchanges.entry(key).or_default();
        places.push_back(place);
        Ok(())
    }

    fn finish(self, path: PathBuf, file: File) -> anyhow::Result<Player> {
        let begin = self
            .begin
            .with_context(|| format!("the record `{}` is empty", path.display()))?;
        Ok(Player {
            path,
            file,
            clock: VirtualClock::new(begin),
            begin,
            end: self.end.unwrap_or(begin),
            cut: !self.ended,
            sources: self.sources,
            cursors: self.cursors,
            stopped: self.stopped,
            scrub: SharedScrub::default(),
            left: Mutex::new(self.left),
        })
    }
}
