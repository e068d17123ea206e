//! One entity's rows: the changes as they come, and a few of the latest.

use std::sync::Arc;
use std::time::Duration;

use super::protocol::{ColumnHead, Event, RowWriter};
use super::query::Ready;
use super::service::{Refusal, Script};
use super::show::find;
use crate::catalog::Entity;
use crate::connector::Stop;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::{Layout, SEQ, Session, Stored};
use crate::plan::{Feed, Work, ad_hoc};
use crate::runtime::{Looked, Tail, Waited, state};
use crate::sql::{EntityKind, Ident, SqlText, quote_ident};

/// How long a tail waits between looks at whether it is cancelled.
const WAIT: Duration = Duration::from_millis(200);

/// The rows that stand for an entity: a screenful.
const LATEST_ROWS: usize = 20;

impl Script<'_> {
    /// Emits the changes of an entity from now on, each with its `op`, until the script is cancelled or the
    /// entity ends.
    pub fn tail(&mut self, name: &str) -> Result<(), Refusal> {
        let ident = self.named(name);
        let entity = find(&self.pipeline.catalog, &ident, None)?.clone();
        let Some(runtime) = self.service.runtime.clone() else {
            let error =
                anyhow::anyhow!("nothing runs there, so nothing changes: start `omlsp run`");
            return Err(error.into());
        };
        let feed = self.feed_of(&entity, &ident)?;
        let session = self.service.session()?;
        let mut tail = runtime.tail(&feed)?;
        self.control
            .statement(Some(session.interrupt_handle()), None, |stop| {
                self.follow(&session, &mut tail, stop)
            })
    }

    fn follow(&mut self, session: &Session, tail: &mut Tail, stop: &Stop) -> Result<(), Refusal> {
        let columns = session
            .describe(tail.columns_sql())
            .map_err(anyhow::Error::from)?;
        let columns: Vec<ColumnHead> = (columns.into_iter())
            .map(|(name, sql_type)| ColumnHead { name, sql_type })
            .collect();
        let mut writer = RowWriter::new(&columns);
        (self.emit)(Event::Columns(columns))?;
        loop {
            stop.check().map_err(anyhow::Error::from)?;
            let emit = &mut *self.emit;
            let looked = tail.look(session, &mut |batch| writer.write(&batch, emit))?;
            writer.flush(&mut *self.emit)?;
            match looked {
                Looked::Changes => {}
                Looked::Missed => {
                    let text = "changes are missing here: they came faster than they were read";
                    self.message(text)?;
                }
                Looked::Nothing => {
                    if tail.wait(WAIT) == Waited::Ended {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Returns what a tail of an entity reads.
    fn feed_of(&self, entity: &Entity, ident: &Ident) -> Result<Feed, Refusal> {
        let refuse = |message: String, help: &str| -> Refusal {
            Diagnostic::new(ident.span, message).help(help).into()
        };
        let name = &entity.name().name;
        let plan = self.service.plan(&self.pipeline)?;
        match (entity.kind(), plan.node(name).map(|node| &node.work)) {
            (_, Some(Work::Sink(sink))) => return Ok(sink.feed.clone()),
            (kind @ (EntityKind::Lookup | EntityKind::Secret), _) => {
                let message = format!("`{name}` is a {}, it has no rows", kind.words());
                return Err(refuse(message, "tail a view that reads it"));
            }
            _ => {}
        }
        let query = SqlText::new(format!("SELECT * FROM {}", quote_ident(name)), ident.span);
        let bound = ad_hoc(
            &self.pipeline.checkable(),
            &self.service.environment,
            &query,
        )?;
        let (_, bound) = bound.map_err(Refusal::Faults)?;
        match bound.linear {
            Err(reason) => {
                let message =
                    format!("`{name}` is a VIEW whose changes nobody follows, because {reason}");
                Err(refuse(
                    message,
                    "make it a MATERIALIZED VIEW, or tail what it reads",
                ))
            }
            Ok(()) if !bound.feed.lookups.is_empty() => {
                let message = format!("`{name}` would ask lookups for each onlooker");
                Err(refuse(message, "tail the relation or sink that reads it"))
            }
            Ok(()) => Ok(bound.feed),
        }
    }

    /// Emits a few rows of an entity, the latest ones where the state knows which they are.
    pub fn latest(&mut self, name: &str) -> Result<(), Refusal> {
        let ident = self.named(name);
        let pipeline = Arc::clone(&self.pipeline);
        let entity = find(&pipeline.catalog, &ident, None)?;
        let name = &entity.name().name;
        let plan = self.service.plan(&pipeline)?;
        let stored = plan
            .node(name)
            .and_then(|node| state::stored_of(node).into_iter().next());
        let sql = match (entity.kind(), stored) {
            (EntityKind::Sink, _) => return self.message("the rows of a sink are outside"),
            (EntityKind::Lookup | EntityKind::Secret, _) => {
                return self.message("it has no rows of its own");
            }
            (_, Some(stored)) => latest_sql(stored),
            (_, None) if pipeline.asks([name.as_str()]) => {
                return self.message("a look at its rows would ask lookups: use SELECT");
            }
            (_, None) => format!(
                "SELECT * FROM main.{} LIMIT {LATEST_ROWS}",
                quote_ident(name)
            ),
        };
        let session = self.service.session()?;
        let query = SqlText::new(sql.clone(), ident.span);
        let ready = Ready { sql, offset: None };
        let (control, timeout) = (self.control, self.settings.statement_timeout());
        control.statement(Some(session.interrupt_handle()), timeout, |_| {
            self.stream(&session, &query, &ready)
        })
    }

    /// Takes a name that came alone as the text of the script, so that messages can point to it.
    fn named(&mut self, name: &str) -> Ident {
        let file = self.pipeline.script;
        self.sources.replace(file, "entity", name);
        Ident {
            name: name.to_owned(),
            span: Span {
                file,
                start: 0,
                end: name.len(),
            },
        }
    }
}

/// Returns a query of the latest rows of a relation: by batch where its rows have the number of theirs, else
/// by where they lie.
fn latest_sql(stored: &Stored) -> String {
    let (columns, data) = (stored.column_list(), stored.data());
    match stored.layout {
        // A batch has a row at least, so these are enough, and no others are looked at.
        Layout::Append | Layout::Passing => format!(
            "SELECT {columns} FROM {data} WHERE {SEQ} > (SELECT max({SEQ}) FROM {data}) - {LATEST_ROWS} \
             ORDER BY {SEQ} DESC, rowid DESC LIMIT {LATEST_ROWS}"
        ),
        Layout::Changing => {
            format!("SELECT {columns} FROM {data} ORDER BY rowid DESC LIMIT {LATEST_ROWS}")
        }
    }
}
