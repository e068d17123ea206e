//! The server of the crash test: what it serves is new each time, and it knows what it has served and
//! which of it the client must have committed, since it asked for what follows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::support::http::{Reply, Request, Server};

/// Rows on one page of an endless log at most.
const PAGE_ROWS_MAX: u64 = 20;

/// Pages of one poll at most.
const POLL_PAGES_MAX: u64 = 4;

/// Returns the group of an event.
pub fn group_of(id: u64) -> u64 {
    id * 7919 % 13
}

/// Returns the key of an event.
pub fn key_of(id: u64) -> u64 {
    id * 31 % 40
}

/// Returns how many lines a page has.
pub fn lines_of(poll: u64, page: u64) -> u64 {
    1 + (poll * 31 + page * 17) % 9
}

/// An endless log read by a cursor that is kept between polls.
#[derive(Debug, Default)]
pub struct Log {
    /// The last row that was ever served.
    pub served: u64,
    /// The last row after which the client asked on: it and all before must be committed.
    pub acked: u64,
    /// True gives nothing new any more.
    pub ended: bool,
}

/// Polls of a few pages each, every poll with rows of its own.
#[derive(Debug, Default)]
pub struct Polls {
    /// Pages of each poll, and the highest page that was asked for, by number from 1.
    pub polls: Vec<(u64, u64)>,
    pub ended: bool,
}

/// What the sinks have sent.
#[derive(Debug, Default)]
pub struct Received {
    /// The highest id of `posts`; all below it have come too, or `faults` says which did not.
    pub posted: u64,
    /// The row per key after all of `moves`.
    pub moved: BTreeMap<u64, Option<u64>>,
}

#[derive(Debug, Default)]
pub struct World {
    pub pages: Polls,
    pub heads: Polls,
    pub events: Log,
    pub latest: Log,
    pub received: Received,
    /// What the client did that it must never do.
    pub faults: Vec<String>,
}

pub type Shared = Arc<Mutex<World>>;

/// Answers everything that `pipeline.sql` asks.
pub fn serve(server: &Server, seed: u64) -> Shared {
    let world = Shared::default();
    let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
    let on = |method: &str,
              path: &str,
              answer: fn(&mut World, &mut fastrand::Rng, &Request) -> Reply| {
        let (world, random) = (Arc::clone(&world), Arc::clone(&random));
        server.on(method, path, move |request| {
            let mut world = world.lock().expect("no answer panics");
            answer(
                &mut world,
                &mut random.lock().expect("no answer panics"),
                request,
            )
        });
    };
    on("GET", "/pages", |world, random, request| {
        let page = number(request, "page").unwrap_or(0);
        let poll = world.pages.polls.len() as u64;
        let asked = (page > 0).then_some((poll, page));
        world.pages.answer(asked, random, &mut world.faults).0
    });
    on("GET", "/heads", |world, random, request| {
        let asked = request.param("cursor").map(|cursor| {
            let (poll, page) = cursor.split_once('-').expect("the cursor is ours");
            (
                poll.parse().expect("a number"),
                page.parse().expect("a number"),
            )
        });
        let (reply, next) = world.heads.answer(asked, random, &mut world.faults);
        match next {
            Some((poll, page)) => reply.header("X-Next", format!("{poll}-{page}")),
            None => reply,
        }
    });
    on("GET", "/events", |world, random, request| {
        let rows = world.events.answer(request, random, &mut world.faults);
        lines(rows.map(|id| format!(r#"{{"id": {id}, "grp": {}}}"#, group_of(id))))
    });
    on("GET", "/latest", |world, random, request| {
        let rows = world.latest.answer(request, random, &mut world.faults);
        lines(rows.map(|id| format!(r#"{{"id": {id}, "k": {}}}"#, key_of(id))))
    });
    on("GET", "/names", |_, _, request| {
        let group = request.param("grp").expect("the lookup sends its param");
        Reply::json(format!(r#"{{"label": "g{group}"}}"#))
    });
    on("POST", "/posts", |world, _, request| {
        world.posts(request);
        Reply::json("{}")
    });
    on("POST", "/moves", |world, _, request| {
        world.moves(request);
        Reply::json("{}")
    });
    world
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.param(name)?.parse().ok()
}

fn lines(rows: impl Iterator<Item = String>) -> Reply {
    Reply::json(format!("[{}]", rows.collect::<Vec<_>>().join(", ")))
}

impl Log {
    /// Returns the rows after the one the request names.
    fn answer(
        &mut self,
        request: &Request,
        random: &mut fastrand::Rng,
        faults: &mut Vec<String>,
    ) -> std::ops::Range<u64> {
        let after = number(request, "after").unwrap_or(0);
        if after < self.acked || after > self.served {
            let (acked, served) = (self.acked, self.served);
            faults.push(format!(
                "{} asked after {after}, acknowledged {acked}, served {served}",
                request.path
            ));
        }
        self.acked = self.acked.max(after);
        // A page that may have been lost is served again as it was, or with more.
        let fresh = if self.ended || random.u8(..3) == 0 {
            0
        } else {
            random.u64(1..=PAGE_ROWS_MAX)
        };
        let to = (after + fresh).max(self.served.min(after + PAGE_ROWS_MAX));
        self.served = self.served.max(to);
        after + 1..to + 1
    }
}

impl Polls {
    /// Returns a page and which one follows it. Without a page asked for, a new poll begins.
    fn answer(
        &mut self,
        asked: Option<(u64, u64)>,
        random: &mut fastrand::Rng,
        faults: &mut Vec<String>,
    ) -> (Reply, Option<(u64, u64)>) {
        if asked.is_none() {
            if self.ended {
                return (Reply::json("[]"), None);
            }
            self.polls.push((random.u64(1..=POLL_PAGES_MAX), 0));
        }
        let last = self.polls.len() as u64;
        let (poll, page) = asked.unwrap_or((last, 0));
        if poll != last || poll == 0 {
            faults.push(format!(
                "page {page} of poll {poll} was asked for in poll {last}"
            ));
            return (Reply::json("[]"), None);
        }
        let (pages, highest) = self.polls.last_mut().expect("a poll has begun");
        *highest = (*highest).max(page);
        if page >= *pages {
            return (Reply::json("[]"), None);
        }
        let rows = (0..lines_of(poll, page))
            .map(|line| format!(r#"{{"poll": {poll}, "page": {page}, "line": {line}}}"#));
        (lines(rows), (page + 1 < *pages).then_some((poll, page + 1)))
    }
}

impl World {
    fn posts(&mut self, request: &Request) {
        for row in request.body_text().lines() {
            let row: serde_json::Value = serde_json::from_str(row).expect("a row is JSON");
            let id = row["id"].as_u64().expect("an id");
            let posted = &mut self.received.posted;
            if id > *posted + 1 {
                self.faults.push(format!("post {id} came after {posted}"));
            }
            *posted = (*posted).max(id);
        }
    }

    fn moves(&mut self, request: &Request) {
        for row in request.body_text().lines() {
            let row: serde_json::Value = serde_json::from_str(row).expect("a row is JSON");
            let key = row["k"].as_u64().expect("a key");
            let id = row["id"].as_u64().expect("an id");
            let kept = if row["op"] == "insert" {
                Some(id)
            } else {
                None
            };
            self.received.moved.insert(key, kept);
        }
    }

    /// Gives nothing new from now on.
    pub fn end(&mut self) {
        self.pages.ended = true;
        self.heads.ended = true;
        self.events.ended = true;
        self.latest.ended = true;
    }
}
