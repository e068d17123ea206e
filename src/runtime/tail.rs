//! Looking on: the changes of a relation as they come, for whoever asks. Nobody waits for an onlooker; one
//! that falls too far behind misses changes and is told so.
//!
//! Called by the server for `omlsp tail`; the runtime itself needs none of it.

use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;

use super::reading::{InputReading, Reading, borrowed, deleted_of, inserted_of};
use super::run::Runtime;
use super::stream::{Stream, inbox};
use crate::batch::RecordBatch;
use crate::engine::{Layout, Session};
use crate::plan::Feed;

/// What a look brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    Changes,
    /// Nothing new.
    Nothing,
    /// Some changes may have been gone before they were seen; it goes on with what comes next.
    Missed,
}

/// What waiting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    GoOn,
    /// No more changes come.
    Ended,
}

/// An onlooker, until the value is dropped.
pub struct Tail {
    reading: Reading,
    /// Its number in each input.
    ids: Vec<u64>,
    columns_sql: String,
    inserted_sql: String,
    deleted_sql: Option<String>,
    inbox: Receiver<()>,
}

impl Runtime {
    /// Looks on at the rows of a linear feed without lookups, from now on.
    ///
    /// # Errors
    /// A relation is gone, or is not at work because nobody reads it.
    pub fn tail(&self, feed: &Feed) -> anyhow::Result<Tail> {
        let mut streams = Vec::new();
        for input in &feed.inputs {
            let name = &input.stored.name;
            let stream = self.lock_streams().get(name).map(Arc::clone);
            let stream = stream.ok_or_else(|| anyhow::anyhow!("`{name}` is gone"))?;
            let entity = name.strip_suffix(" result").unwrap_or(name);
            anyhow::ensure!(
                self.crew.has_started(entity),
                "`{name}` is not evaluated, since nothing reads it; tail what it reads, or give it a reader"
            );
            streams.push(stream);
        }
        Ok(Tail::new(feed, streams))
    }
}

impl Tail {
    fn new(feed: &Feed, streams: Vec<Arc<Stream>>) -> Self {
        let (bell, inbox) = inbox();
        let (mut inputs, mut ids) = (Vec::new(), Vec::new());
        let with_op = |op: &str, sql: String| format!("SELECT '{op}' AS op, * FROM ({sql}\n)");
        let changing = (streams.iter()).any(|stream| stream.stored.layout == Layout::Changing);
        for stream in streams {
            let (id, head) = stream.look_on();
            stream.subscribe(bell.clone());
            ids.push(id);
            inputs.push(InputReading {
                stream,
                position: Some(head),
                committed: Some(head),
                uncommitted: 0,
            });
        }
        let consumer = String::new();
        Self {
            reading: Reading { consumer, inputs },
            ids,
            columns_sql: with_op("insert", feed.all_sql()),
            inserted_sql: with_op("insert", inserted_of(feed, &feed.query, 1)),
            deleted_sql: changing.then(|| with_op("delete", deleted_of(feed, &feed.query, 1))),
            inbox,
        }
    }

    /// Returns a query of the columns that [`Tail::look`] gives: `op`, then those of the relation.
    pub fn columns_sql(&self) -> &str {
        &self.columns_sql
    }

    /// Hands over the next changes there are, in order. Blocking.
    ///
    /// # Errors
    /// DuckDB's own, or whatever `each` returns.
    pub fn look(
        &mut self,
        session: &Session,
        each: &mut dyn FnMut(RecordBatch) -> anyhow::Result<()>,
    ) -> anyhow::Result<Looked> {
        let Some(piece) = self.reading.next_piece(session, u64::MAX)? else {
            return Ok(Looked::Nothing);
        };
        let ranges = piece.params();
        for sql in self.deleted_sql.iter().chain([&self.inserted_sql]) {
            session.stream(sql, &borrowed(&ranges), each)?;
        }
        let kept = (self.reading.inputs.iter().zip(&self.ids))
            .all(|(input, id)| input.stream.keeps_for(*id));
        if !kept {
            self.skip();
            return Ok(Looked::Missed);
        }
        self.reading.take(&piece);
        for (input, id) in self.reading.inputs.iter().zip(&self.ids) {
            input.stream.onlooker_at(*id, input.position.unwrap_or(0));
        }
        Ok(Looked::Changes)
    }

    /// Goes on behind everything there is now.
    fn skip(&mut self) {
        for (input, id) in self.reading.inputs.iter_mut().zip(&self.ids) {
            let head = input.stream.head();
            input.position = Some(head);
            input.stream.onlooker_at(*id, head);
        }
    }

    /// Waits until there may be more, `bound` at most. Blocking.
    pub fn wait(&self, bound: Duration) -> Waited {
        let rung = async {
            match self.inbox.recv().await {
                Ok(()) => Waited::GoOn,
                Err(_) => Waited::Ended,
            }
        };
        let timer = async {
            smol::Timer::after(bound).await;
            Waited::GoOn
        };
        smol::block_on(smol::future::or(rung, timer))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        for (input, id) in self.reading.inputs.iter().zip(&self.ids) {
            input.stream.remove_onlooker(*id);
        }
    }
}
