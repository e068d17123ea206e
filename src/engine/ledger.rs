//! The engine's own tables, in the schema `omlsp`: how far each stream has come and each consumer has
//! read, what entities there are, what went wrong.
//!
//! Every write happens in the transaction of the rows it belongs to.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{FORMAT_VERSION, Param, Session};
use crate::sql::quote_text;

/// The number of each stream's latest batch, and its watermark in microseconds.
pub type Heads = HashMap<String, (u64, Option<i64>)>;

/// The bytes of a payload that are kept with an error: enough to recognise a row, not to store bodies.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024;

/// The errors kept; older ones are deleted, so that a source that fails for weeks does not fill the disk.
const ERRORS_KEPT: i64 = 100_000;

/// A stream as the last commit left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedStream {
    /// The number of its latest batch, 0 before the first.
    pub head: u64,
    /// Where its connector goes on.
    pub cursor: Option<String>,
}

/// One line of `omlsp_errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRecord {
    pub time: DateTime<Utc>,
    pub entity: String,
    /// The step that failed: `read`, `decode`, `insert`, `lookup`, `maintain`, `write`, …
    pub stage: &'static str,
    pub message: String,
    pub payload: Option<String>,
}

/// An entity as recorded in the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEntity {
    pub name: String,
    pub kind: String,
    /// The statement's text; secrets stand in it by name only.
    pub definition: String,
    /// The file it came from; `None` for one created by a statement while running.
    pub origin: Option<String>,
}

/// The version of a state in which there is nothing that came later.
const FORMAT_FIRST: i64 = 1;

/// The version from which on heads are also looked for in `omlsp.stream_second`.
const STREAM_SECOND_SINCE: i64 = 2;

/// The tables, where they are missing.
const TABLES: &str = "CREATE SCHEMA IF NOT EXISTS omlsp;\n\
     CREATE SCHEMA IF NOT EXISTS data;\n\
     CREATE SCHEMA IF NOT EXISTS changes;\n\
     CREATE TABLE IF NOT EXISTS omlsp.format (version BIGINT);\n\
     CREATE TABLE IF NOT EXISTS omlsp.stream (name VARCHAR, head BIGINT, cursor VARCHAR);\n\
     CREATE TABLE IF NOT EXISTS omlsp.stream_second (name VARCHAR, head BIGINT);\n\
     CREATE TABLE IF NOT EXISTS omlsp.position (consumer VARCHAR, stream VARCHAR, seq BIGINT);\n\
     CREATE TABLE IF NOT EXISTS omlsp.watermark (name VARCHAR, time BIGINT);\n\
     CREATE TABLE IF NOT EXISTS omlsp.sink (name VARCHAR, state VARCHAR);\n\
     CREATE TABLE IF NOT EXISTS omlsp.entity (name VARCHAR, kind VARCHAR, definition VARCHAR, \
     origin VARCHAR, created BIGINT);\n\
     CREATE SCHEMA IF NOT EXISTS stages;\n\
     CREATE TABLE IF NOT EXISTS omlsp.stage (owner VARCHAR, name VARCHAR, columns VARCHAR, \
     place BIGINT);\n\
     CREATE TABLE IF NOT EXISTS omlsp.secret (name VARCHAR, sealed VARCHAR);\n\
     CREATE TABLE IF NOT EXISTS omlsp.error (time TIMESTAMP, entity VARCHAR, stage VARCHAR, \
     message VARCHAR, payload VARCHAR);\n\
     CREATE VIEW IF NOT EXISTS main.omlsp_errors AS FROM omlsp.error;\n";

/// In which of two rows a head is noted: transactions that run at the same time cannot change the same row. A stream
/// has come as far as the larger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    First,
    Second,
}

/// The engine's own tables, through one session.
pub struct Ledger<'a> {
    session: &'a Session,
}

impl<'a> Ledger<'a> {
    pub fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// Makes the tables of a new state, in which there is nothing, inside the caller's transaction.
    ///
    /// # Errors
    /// DuckDB's own.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        let format = format!("INSERT INTO omlsp.format VALUES ({FORMAT_FIRST})");
        (self.session).execute_batch(&format!("{TABLES}{format}"))
    }

    /// Makes the tables where they are missing.
    ///
    /// # Errors
    /// The state was written by a newer version, or DuckDB's own.
    pub fn prepare(&self) -> anyhow::Result<()> {
        self.session.transaction(|session| {
            session.execute_batch(TABLES)?;
            match session.number("SELECT max(version) FROM omlsp.format", &[])? {
                None => {
                    session.execute("INSERT INTO omlsp.format VALUES ($1)", &[&FORMAT_FIRST])?;
                    Ok(())
                }
                Some(version) if version > FORMAT_VERSION => anyhow::bail!(
                    "the state has format {version}, this omlsp knows up to {FORMAT_VERSION}: run a newer omlsp"
                ),
                // It stays what it is until something is kept that it does not know.
                Some(_) => Ok(()),
            }
        })
    }

    /// Returns the name of each stream with the number of its latest batch, 0 before the first, and with its
    /// watermark in microseconds, if it has one.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn heads(&self) -> anyhow::Result<Heads> {
        let rows = self.session.texts(
            "SELECT name, head::VARCHAR, NULL FROM omlsp.stream \
             UNION ALL SELECT name, head::VARCHAR, NULL FROM omlsp.stream_second \
             UNION ALL SELECT name, NULL, time::VARCHAR FROM omlsp.watermark",
            &[],
        )?;
        let mut heads: HashMap<String, (u64, Option<i64>)> = HashMap::new();
        for mut row in rows {
            let [Some(name), head, time] = row.as_mut_slice() else {
                continue;
            };
            let entry = heads.entry(std::mem::take(name)).or_default();
            if let Some(head) = head {
                entry.0 = entry.0.max(head.parse()?);
            }
            if let Some(time) = time {
                entry.1 = Some(time.parse()?);
            }
        }
        Ok(heads)
    }

    /// Adds streams that are not there yet.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn add_streams(&self, names: &[&str]) -> anyhow::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let rows = names
            .iter()
            .map(|name| format!("({}, 0, NULL)", quote_text(name)));
        let rows = rows.collect::<Vec<_>>().join(", ");
        (self.session).execute_batch(&format!("INSERT INTO omlsp.stream VALUES {rows}"))
    }

    /// Returns a stream's committed state, adding the stream if it is new.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn stream(&self, name: &str) -> anyhow::Result<CommittedStream> {
        let rows = self.session.texts(
            "SELECT greatest(head, (SELECT max(head) FROM omlsp.stream_second WHERE name = $1))::VARCHAR, \
             cursor FROM omlsp.stream WHERE name = $1",
            &[&name],
        )?;
        match rows.into_iter().next().as_deref_mut() {
            Some([head, cursor]) => Ok(CommittedStream {
                head: head.as_deref().unwrap_or("0").parse()?,
                cursor: cursor.take(),
            }),
            _ => {
                self.session
                    .execute("INSERT INTO omlsp.stream VALUES ($1, 0, NULL)", &[&name])?;
                Ok(CommittedStream {
                    head: 0,
                    cursor: None,
                })
            }
        }
    }

    /// Notes that a stream has come to `head`; a cursor of `None` leaves the stored one.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn advance(&self, name: &str, head: u64, cursor: Option<&str>) -> anyhow::Result<()> {
        let head = i64::try_from(head)?;
        // A parameter that is NULL would be planned for anew each time.
        match cursor {
            Some(cursor) => self.session.execute(
                "UPDATE omlsp.stream SET head = $2, cursor = $3 WHERE name = $1",
                &[&name, &head, &cursor],
            )?,
            None => self.session.execute(
                "UPDATE omlsp.stream SET head = $2 WHERE name = $1",
                &[&name, &head],
            )?,
        };
        Ok(())
    }

    /// Changes a row, or adds it with the same parameters where there is none; returns true if it was added.
    fn put(&self, update: &str, insert: &str, params: &[&dyn Param]) -> anyhow::Result<bool> {
        let is_new = self.session.execute(update, params)? == 0;
        if is_new {
            self.session.execute(insert, params)?;
        }
        Ok(is_new)
    }

    /// As [`Ledger::advance`] without a cursor, in the row that `lane` says.
    ///
    /// # Errors
    /// DuckDB's own; among them that of a transaction that changes the same row at the same time.
    pub fn advance_in(&self, lane: Lane, name: &str, head: u64) -> anyhow::Result<()> {
        if lane == Lane::First {
            return self.advance(name, head, None);
        }
        let head = i64::try_from(head)?;
        let is_first = self.put(
            "UPDATE omlsp.stream_second SET head = $2 WHERE name = $1",
            "INSERT INTO omlsp.stream_second VALUES ($1, $2)",
            &[&name, &head],
        )?;
        if is_first {
            // Who does not look there must not go on with the stream.
            self.session.execute(
                "UPDATE omlsp.format SET version = $1 WHERE version < $1",
                &[&STREAM_SECOND_SINCE],
            )?;
        }
        Ok(())
    }

    /// Returns the number of the last batch of `stream` that `consumer` has taken; `None` if it has
    /// never taken any.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn position(&self, consumer: &str, stream: &str) -> anyhow::Result<Option<u64>> {
        let seq = self.session.number(
            "SELECT seq FROM omlsp.position WHERE consumer = $1 AND stream = $2",
            &[&consumer, &stream],
        )?;
        Ok(seq.map(u64::try_from).transpose()?)
    }

    /// Notes how far a consumer has read a stream.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn set_position(&self, consumer: &str, stream: &str, seq: u64) -> anyhow::Result<()> {
        let seq = i64::try_from(seq)?;
        self.put(
            "UPDATE omlsp.position SET seq = $3 WHERE consumer = $1 AND stream = $2",
            "INSERT INTO omlsp.position VALUES ($1, $2, $3)",
            &[&consumer, &stream, &seq],
        )?;
        Ok(())
    }

    /// Returns how far event time has come in a relation, in microseconds; `None` before the first row.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn watermark(&self, name: &str) -> anyhow::Result<Option<i64>> {
        self.session
            .number("SELECT time FROM omlsp.watermark WHERE name = $1", &[&name])
    }

    /// Notes how far event time has come in a relation.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn set_watermark(&self, name: &str, time: i64) -> anyhow::Result<()> {
        self.put(
            "UPDATE omlsp.watermark SET time = $2 WHERE name = $1",
            "INSERT INTO omlsp.watermark VALUES ($1, $2)",
            &[&name, &time],
        )?;
        Ok(())
    }

    /// Returns what a sink's connector keeps with its position.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn sink_state(&self, name: &str) -> anyhow::Result<Option<String>> {
        let rows = self
            .session
            .texts("SELECT state FROM omlsp.sink WHERE name = $1", &[&name])?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|mut row| row.pop().flatten()))
    }

    /// # Errors
    /// DuckDB's own.
    pub fn set_sink_state(&self, name: &str, state: &str) -> anyhow::Result<()> {
        self.put(
            "UPDATE omlsp.sink SET state = $2 WHERE name = $1",
            "INSERT INTO omlsp.sink VALUES ($1, $2)",
            &[&name, &state],
        )?;
        Ok(())
    }

    /// Returns name and columns of each table that the stages of a kept relation have.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn stages(&self, owner: &str) -> anyhow::Result<Vec<(String, String)>> {
        let rows = self.session.texts(
            "SELECT name, columns FROM omlsp.stage WHERE lower(owner) = lower($1) ORDER BY place",
            &[&owner],
        )?;
        let text = |cell: Option<String>| cell.unwrap_or_default();
        Ok(rows
            .into_iter()
            .map(|mut row| {
                let columns = row.pop().flatten();
                (text(row.pop().flatten()), text(columns))
            })
            .collect())
    }

    /// Makes the tables of the stages of a kept relation, empty, in place of those it had.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn set_stages(&self, owner: &str, tables: &[(String, String)]) -> anyhow::Result<()> {
        for (name, _) in self.stages(owner)? {
            let name = crate::sql::quote_ident(&name);
            self.session
                .execute_batch(&format!("DROP TABLE IF EXISTS stages.{name}"))?;
        }
        self.session.execute(
            "DELETE FROM omlsp.stage WHERE lower(owner) = lower($1)",
            &[&owner],
        )?;
        for (place, (name, columns)) in tables.iter().enumerate() {
            let place = i64::try_from(place)?;
            let quoted = crate::sql::quote_ident(name);
            self.session
                .execute_batch(&format!("CREATE TABLE stages.{quoted} ({columns})"))?;
            self.session.execute(
                "INSERT INTO omlsp.stage VALUES ($1, $2, $3, $4)",
                &[&owner, name, columns, &place],
            )?;
        }
        Ok(())
    }

    /// Records errors; payloads are cut to [`PAYLOAD_BYTES_MAX`].
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn record_errors(&self, errors: &[ErrorRecord]) -> anyhow::Result<()> {
        for error in errors {
            let time = error.time.timestamp_micros();
            let payload = error
                .payload
                .as_deref()
                .map(|text| cut(text, PAYLOAD_BYTES_MAX));
            let message = cut(&error.message, PAYLOAD_BYTES_MAX);
            self.session.execute(
                "INSERT INTO omlsp.error VALUES (make_timestamp($1), $2, $3, $4, $5)",
                &[&time, &error.entity, &error.stage, &message, &payload],
            )?;
        }
        Ok(())
    }

    /// Deletes the oldest errors beyond the bound.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn trim_errors(&self) -> anyhow::Result<()> {
        self.session.execute(
            "DELETE FROM omlsp.error WHERE rowid < (SELECT max(rowid) - $1 FROM omlsp.error)",
            &[&ERRORS_KEPT],
        )?;
        Ok(())
    }

    /// Returns the recorded entities in the order they were created.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn entities(&self) -> anyhow::Result<Vec<RecordedEntity>> {
        let rows = self.session.texts(
            "SELECT name, kind, definition, origin FROM omlsp.entity ORDER BY created",
            &[],
        )?;
        let text = |cell: &mut Option<String>| cell.take().unwrap_or_default();
        Ok(rows
            .into_iter()
            .filter_map(|mut row| match row.as_mut_slice() {
                [name, kind, definition, origin] => Some(RecordedEntity {
                    name: text(name),
                    kind: text(kind),
                    definition: text(definition),
                    origin: origin.take(),
                }),
                _ => None,
            })
            .collect())
    }

    /// Records entities that are not there yet, in their order; `first` says that there are no others.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn record_entities(&self, entities: &[RecordedEntity], first: bool) -> anyhow::Result<()> {
        if entities.is_empty() {
            return Ok(());
        }
        let last = match first {
            true => None,
            false => (self.session).number("SELECT max(created) FROM omlsp.entity", &[])?,
        };
        let row = |(entity, created): (&RecordedEntity, i64)| {
            let origin = entity.origin.as_deref();
            format!(
                "({}, {}, {}, {}, {created})",
                quote_text(&entity.name),
                quote_text(&entity.kind),
                quote_text(&entity.definition),
                origin.map_or_else(|| "NULL".to_owned(), quote_text),
            )
        };
        let rows: Vec<String> = (entities.iter().zip(last.unwrap_or(0) + 1..))
            .map(row)
            .collect();
        (self.session).execute_batch(&format!(
            "INSERT INTO omlsp.entity VALUES {}",
            rows.join(", ")
        ))
    }

    /// Notes that an entity comes from another file.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn move_entity(&self, name: &str, origin: Option<&str>) -> anyhow::Result<()> {
        self.session.execute(
            "UPDATE omlsp.entity SET origin = $2 WHERE lower(name) = lower($1)",
            &[&name, &origin],
        )?;
        Ok(())
    }

    /// Keeps a secret's value, which the caller has encrypted, in place of one of the same name.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn keep_secret(&self, name: &str, sealed: &str) -> anyhow::Result<()> {
        self.session.execute(
            "DELETE FROM omlsp.secret WHERE lower(name) = lower($1)",
            &[&name],
        )?;
        self.session.execute(
            "INSERT INTO omlsp.secret VALUES ($1, $2)",
            &[&name, &sealed],
        )?;
        Ok(())
    }

    /// Returns the name and the encrypted value of each secret that is kept.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn secrets(&self) -> anyhow::Result<Vec<(String, String)>> {
        let rows = self
            .session
            .texts("SELECT name, sealed FROM omlsp.secret", &[])?;
        Ok(rows
            .into_iter()
            .filter_map(|row| match row.as_slice() {
                [Some(name), Some(sealed)] => Some((name.clone(), sealed.clone())),
                _ => None,
            })
            .collect())
    }

    /// Forgets an entity with its stream, its stages, its positions and its sink's state.
    ///
    /// # Errors
    /// DuckDB's own.
    pub fn forget_entity(&self, name: &str) -> anyhow::Result<()> {
        self.set_stages(name, &[])?;
        for sql in [
            "DELETE FROM omlsp.entity WHERE lower(name) = lower($1)",
            "DELETE FROM omlsp.stream WHERE lower(name) = lower($1)",
            "DELETE FROM omlsp.stream_second WHERE lower(name) = lower($1)",
            "DELETE FROM omlsp.position WHERE lower(consumer) = lower($1) OR lower(stream) = lower($1)",
            "DELETE FROM omlsp.watermark WHERE lower(name) = lower($1)",
            "DELETE FROM omlsp.sink WHERE lower(name) = lower($1)",
            "DELETE FROM omlsp.secret WHERE lower(name) = lower($1)",
        ] {
            self.session.execute(sql, &[&name])?;
        }
        Ok(())
    }
}

/// Cuts a text to a number of bytes, at a character boundary.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
