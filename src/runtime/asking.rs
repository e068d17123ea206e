//! Asks lookups: the distinct params of a piece, some at a time, with a cache, answers into a table.

use std::collections::HashMap;
use std::iter::Enumerate;
use std::sync::{Arc, Mutex};
use std::vec::IntoIter;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::reading::{Piece, borrowed, inserted_of};
use super::shared::Shared;
use crate::batch::array::{ArrayRef, UInt64Array};
use crate::batch::{Decoded, RecordBatch, Reject, compute, datatypes};
use crate::connector::{CacheLimits, Context, LookupConnector, OnError, Stop, Stopped};
use crate::engine::{Session, SqlFault};
use crate::format::row_json;
use crate::plan::{Feed, LookupPlan, LookupStep};

/// Room for so many requests at a time, at most, is made before there is something to ask.
const HIRED_MAX: usize = 64;

/// Asks the lookups of one feed, in order.
pub struct Asker {
    shared: Arc<Shared>,
    steps: Vec<Prepared>,
}

struct Prepared {
    step: LookupStep,
    /// Requests and retries are counted as the lookup's, whoever asks.
    context: Context,
    params_sql: String,
    cache: Option<Cache>,
}

impl Prepared {
    fn concurrency(&self) -> usize {
        concurrency(&self.step.lookup, &self.context)
    }
}

/// Returns how many requests of a lookup may be in flight.
fn concurrency(lookup: &LookupPlan, context: &Context) -> usize {
    match context.player() {
        // A record is played in one order.
        Some(_) => 1,
        None => lookup.connector.limits().concurrency,
    }
}

/// What came of a question.
type Answer = (Question, anyhow::Result<Decoded>);

/// Questions that are asked at the same time, some by each thread.
struct Round {
    /// With their numbers.
    questions: Mutex<Enumerate<IntoIter<Question>>>,
    /// By the numbers of the questions that were asked.
    answers: Mutex<Vec<Option<Answer>>>,
    connector: Arc<dyn LookupConnector>,
    trigger: DateTime<Utc>,
    context: Context,
}

impl Round {
    /// Asks one after the other, until none is left.
    fn ask(&self) {
        while let Some((number, question)) = self.next() {
            let answer = match self.context.stop.check() {
                Ok(()) => (self.connector).request(&question.values, self.trigger, &self.context),
                Err(stopped) => Err(stopped.into()),
            };
            if answer.is_err() && self.connector.limits().fail {
                // The others would be asked again anyway.
                while self.next().is_some() {}
            }
            let mut answers = self
                .answers
                .lock()
                .expect("no panic happens under this lock");
            answers[number] = Some((question, answer));
        }
    }

    fn next(&self) -> Option<(usize, Question)> {
        let mut questions = self
            .questions
            .lock()
            .expect("no panic happens under this lock");
        questions.next()
    }

    /// Takes the answers, `None` for what was not asked.
    fn answers(&self) -> Vec<Option<Answer>> {
        let mut answers = self
            .answers
            .lock()
            .expect("no panic happens under this lock");
        std::mem::take(&mut answers)
    }
}

/// A tuple of params to ask for, and which row of the params' batch it is.
struct Question {
    row: usize,
    values: Vec<Value>,
}

impl Asker {
    pub fn new(shared: &Arc<Shared>, feed: &Feed, stop: &Stop) -> Self {
        let prepare = |step: &LookupStep| Prepared {
            params_sql: inserted_of(feed, &step.params_sql, 1),
            cache: step.lookup.connector.limits().cache.map(Cache::new),
            context: shared.context_on_tape(&step.lookup.name, stop),
            step: step.clone(),
        };
        let steps: Vec<Prepared> = feed.lookups.iter().map(prepare).collect();
        let most = steps.iter().map(Prepared::concurrency).max();
        // The thread that asks is one of them.
        (shared.askers).hire(most.unwrap_or(0).min(HIRED_MAX).saturating_sub(1));
        Self {
            shared: Arc::clone(shared),
            steps,
        }
    }

    /// Asks for everything a piece needs; the answers stand in the session's temporary tables afterwards.
    ///
    /// # Errors
    /// A request failed under `lookup.on_error = 'fail'`, the signal to stop, or DuckDB's own.
    pub fn ask(&mut self, session: &Session, piece: &Piece) -> anyhow::Result<()> {
        let ranges = piece.params();
        let trigger = DateTime::from_timestamp_micros(piece.trigger_us).unwrap_or_default();
        for prepared in &mut self.steps {
            let params = session.query(&prepared.params_sql, &borrowed(&ranges))?;
            let of = Asking {
                shared: &self.shared,
                context: &prepared.context,
                lookup: &prepared.step.lookup,
                trigger,
            };
            of.answer(
                session,
                &params,
                &prepared.step.answers,
                prepared.cache.as_mut(),
            )?;
        }
        Ok(())
    }
}

/// Asks one lookup for the params of one batch, and puts the answers into the session's temporary table
/// `answers`.
pub struct Asking<'a> {
    pub shared: &'a Arc<Shared>,
    pub context: &'a Context,
    pub lookup: &'a LookupPlan,
    pub trigger: DateTime<Utc>,
}

impl Asking<'_> {
    /// # Errors
    /// As [`Asker::ask`].
    pub fn answer(
        &self,
        session: &Session,
        params: &RecordBatch,
        answers: &str,
        mut cache: Option<&mut Cache>,
    ) -> anyhow::Result<()> {
        let questions = questions(params)?;
        let mut answered = Answered::default();
        let mut open = Vec::new();
        for question in questions {
            match cache
                .as_mut()
                .and_then(|cache| cache.get(&question.values, self.trigger))
            {
                Some(rows) => answered.push(question.row, rows)?,
                None => open.push(question),
            }
        }
        let mut rejects = Vec::new();
        for (question, decoded) in self.request_all(open)? {
            rejects.extend(decoded.rejects);
            self.refuse(&rejects)?;
            let rows = decoded.rows;
            if let Some(cache) = cache.as_mut() {
                cache.put(question.values, rows.clone(), self.trigger);
            }
            answered.push(question.row, rows)?;
        }
        let rows = self.with_params(params, answered)?;
        self.fill((session, answers), rows, &mut rejects)?;
        self.refuse(&rejects)?;
        let on_error = self.lookup.connector.limits().on_error;
        (self.shared).set_aside(&self.lookup.name, &rejects, on_error);
        Ok(())
    }

    /// Sends the requests, as many at a time as the lookup allows; answers come in order of the questions.
    fn request_all(&self, questions: Vec<Question>) -> anyhow::Result<Vec<(Question, Decoded)>> {
        let limits = self.lookup.connector.limits();
        let context = self.context.clone().of_entity(&self.lookup.name);
        let threads = concurrency(self.lookup, &context).min(questions.len());
        let round = Arc::new(Round {
            answers: Mutex::new(questions.iter().map(|_| None).collect()),
            questions: Mutex::new(questions.into_iter().enumerate()),
            connector: Arc::clone(&self.lookup.connector),
            trigger: self.trigger,
            context,
        });
        let asked = Arc::clone(&round);
        self.shared.askers.run(threads, move || asked.ask());
        let answers = round.answers();
        let mut all = Vec::with_capacity(answers.len());
        for (question, answer) in answers.into_iter().flatten() {
            match answer {
                Ok(decoded) => all.push((question, decoded)),
                Err(error) if limits.fail || error.is::<Stopped>() => return Err(error),
                Err(error) => {
                    let payload = Value::Array(question.values.clone()).to_string();
                    self.shared
                        .note_error(&self.lookup.name, "lookup", &error, Some(payload));
                }
            }
        }
        Ok(all)
    }

    /// Fails over the first row that does not fit, under `on_error = 'fail'`.
    fn refuse(&self, rejects: &[Reject]) -> anyhow::Result<()> {
        match (self.lookup.connector.limits().on_error, rejects.first()) {
            (OnError::Fail, Some(reject)) => anyhow::bail!(
                "a row of `{}` does not fit: {}",
                self.lookup.name,
                reject.message
            ),
            _ => Ok(()),
        }
    }

    /// Puts the params that were asked for in front of each row of their answer.
    fn with_params(
        &self,
        params: &RecordBatch,
        answered: Answered,
    ) -> anyhow::Result<Option<RecordBatch>> {
        let Some(first) = answered.rows.first() else {
            return Ok(None);
        };
        let rows = compute::concat_batches(first.schema_ref(), &answered.rows)?;
        drop(answered.rows);
        let indices = UInt64Array::from(answered.asked_by);
        let mut columns: Vec<ArrayRef> = Vec::new();
        for column in params.columns() {
            columns.push(compute::take(column.as_ref(), &indices, None)?);
        }
        columns.extend(rows.columns().iter().cloned());
        let schema = self.schema(params.schema_ref());
        Ok(Some(RecordBatch::try_new(schema, columns)?))
    }

    fn schema(&self, params: &crate::batch::Schema) -> crate::batch::Schema {
        let columns = (self.lookup.columns.iter()).map(|column| {
            Arc::new(datatypes::Field::new(
                &column.name,
                column.arrow.clone(),
                true,
            ))
        });
        let fields: Vec<Arc<datatypes::Field>> =
            params.fields().iter().cloned().chain(columns).collect();
        Arc::new(datatypes::Schema::new(fields))
    }

    /// Writes the answers with their generated columns; a row whose columns cannot be computed is added to the
    /// rejects.
    fn fill(
        &self,
        (session, answers): (&Session, &str),
        rows: Option<RecordBatch>,
        rejects: &mut Vec<Reject>,
    ) -> anyhow::Result<()> {
        let table = crate::sql::quote_ident(answers);
        let trigger_us = self.trigger.timestamp_micros();
        let columns: Vec<String> = (self.lookup.visible.iter())
            .map(|(name, sql_type)| format!("{} {sql_type}", crate::sql::quote_ident(name)))
            .collect();
        session.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE {table} ({})",
            columns.join(", ")
        ))?;
        let sql = format!("INSERT INTO temp.{table} {}", self.lookup.answers_sql);
        let mut open = Vec::from_iter(rows);
        while let Some(part) = open.pop() {
            if part.num_rows() == 0 {
                continue;
            }
            let Err(error) = session.execute_over(&sql, &part, &[&trigger_us]) else {
                continue;
            };
            let fault = error.downcast_ref::<SqlFault>();
            let fault = fault.filter(|fault| fault.is_of_rows());
            match (fault, part.num_rows()) {
                (None, _) => return Err(error),
                (Some(fault), 1) => rejects.push(Reject {
                    message: fault.message.clone(),
                    payload: row_json(&part),
                }),
                (Some(_), count) => {
                    open.push(part.slice(count / 2, count - count / 2));
                    open.push(part.slice(0, count / 2));
                }
            }
        }
        Ok(())
    }
}

/// The rows of answers, and for each which row of the params asked for it.
#[derive(Default)]
struct Answered {
    rows: Vec<RecordBatch>,
    asked_by: Vec<u64>,
}

impl Answered {
    fn push(&mut self, asked_by: usize, rows: RecordBatch) -> anyhow::Result<()> {
        let asked_by = u64::try_from(asked_by)?;
        self.asked_by
            .extend(std::iter::repeat_n(asked_by, rows.num_rows()));
        self.rows.push(rows);
        Ok(())
    }
}

/// Returns the tuples without NULL: a row that lacks a param has no answer.
fn questions(params: &RecordBatch) -> anyhow::Result<Vec<Question>> {
    let mut lines = Vec::new();
    crate::format::JsonEncoder::new(params.schema_ref(), &[])?.encode_lines(params, &mut lines)?;
    let mut questions = Vec::new();
    let texts = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    for (row, line) in texts.enumerate() {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(line)?;
        let values: Vec<Value> = object.into_iter().map(|(_, value)| value).collect();
        if !values.contains(&Value::Null) {
            questions.push(Question { row, values });
        }
    }
    Ok(questions)
}

/// Answers that are kept for a while, the least recently used given up first. Their age is counted from the
/// trigger that asked to the trigger that wants them, not by the clock: so the same rows ask the same
/// questions whenever they are taken.
pub struct Cache {
    limits: CacheLimits,
    answers: HashMap<String, Kept>,
    /// Rows kept, an empty answer counted as one.
    rows: usize,
    clock: u64,
}

struct Kept {
    rows: RecordBatch,
    asked: DateTime<Utc>,
    used: u64,
}

impl Cache {
    pub fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            answers: HashMap::new(),
            rows: 0,
            clock: 0,
        }
    }

    fn get(&mut self, values: &[Value], now: DateTime<Utc>) -> Option<RecordBatch> {
        let key = key_of(values);
        let kept = self.answers.get_mut(&key)?;
        // One that is older than the answer, from another input, is none the worse for it.
        let age = (now - kept.asked).to_std().unwrap_or_default();
        if age >= self.limits.ttl {
            let kept = self.answers.remove(&key)?;
            self.rows -= kept.rows.num_rows().max(1);
            return None;
        }
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.rows.clone())
    }

    fn put(&mut self, values: Vec<Value>, rows: RecordBatch, now: DateTime<Utc>) {
        let size = rows.num_rows().max(1);
        if (rows.num_rows() == 0 && !self.limits.missing) || size > self.limits.rows_max {
            return;
        }
        self.clock += 1;
        let kept = Kept {
            rows,
            asked: now,
            used: self.clock,
        };
        if let Some(old) = self.answers.insert(key_of(&values), kept) {
            self.rows -= old.rows.num_rows().max(1);
        }
        self.rows += size;
        if self.rows > self.limits.rows_max {
            self.shrink();
        }
    }

    /// Gives up the least recently used answers until a tenth is free, so that it happens rarely.
    fn shrink(&mut self) {
        let mut by_use: Vec<(u64, String)> = self
            .answers
            .iter()
            .map(|(key, kept)| (kept.used, key.clone()))
            .collect();
        by_use.sort_unstable();
        let rows_goal = self.limits.rows_max - self.limits.rows_max / 10;
        for (_, key) in by_use {
            if self.rows <= rows_goal {
                break;
            }
            if let Some(kept) = self.answers.remove(&key) {
                self.rows -= kept.rows.num_rows().max(1);
            }
        }
    }
}

fn key_of(values: &[Value]) -> String {
    Value::Array(values.to_vec()).to_string()
}
