//! Bodies to columns: JSON documents through a filter into rows, rows into Arrow.
//!
//! A body is one JSON document or several, one after the other (NDJSON or concatenated). Rows are the
//! outputs of the filter over each; an array output is flattened one level. A row is a JSON object whose
//! members go to columns by name, with its case first and without it next; members without a column are
//! ignored, columns without a member are NULL. With exactly one column a scalar is a row too. What does not
//! fit is a [`Reject`], never a silent NULL.
//!
//! Filters with a plan ([`super::jq::Plan`]) are read straight off the body, without a tree; others run in the
//! interpreter, document by document, and so does a document that the plan does not expect.
//! Both fill the same [`rows::Rows`] from the same text, and a test holds them to the same answer.

mod build;
mod rows;

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use crate::batch::datatypes::{DataType, Field, Schema as ArrowSchema};
use crate::batch::{Column, Decoded, Reject, Schema};

use super::column;
use super::fields::{Matcher, Names, Slot};
use super::instant::TimestampUnit;
use super::jq::{Filter, Halt, Plan, Sink, Split, Way, write_object};
use super::number;
use super::scan::{Cursor, Fault};
use super::value::{self, Value};

use build::Slots;
use rows::{RowSink, Rows};

/// Turns bodies into batches of its columns. Shared by threads.
#[derive(Clone, Debug)]
pub struct Decoder {
    columns: Arc<[Column]>,
    /// Those of the columns.
    names: Arc<Names>,
    schema: Schema,
    filter: Filter,
    unit: Option<TimestampUnit>,
    split: Split,
}

/// A decoded page of a paginated answer.
#[derive(Clone, Debug)]
pub struct Page {
    pub decoded: Decoded,
    /// Rows that the filter gave, those that were refused included.
    pub row_count: usize,
    /// True if there are no rows, and no items either that the filter left out: the first `[]` of a filter with a plan
    /// met none. Of other filters nobody knows what they left out.
    pub is_empty: bool,
    /// The last row's cursor field as text; `None` if there is no row, or if it is missing, `null`, `false` or
    /// empty there.
    pub last_cursor: Option<String>,
    /// The link filter's first output that is not `null`, `false` or empty.
    pub link: Option<String>,
}

impl Decoder {
    /// Makes a decoder. `unit` fixes the unit of epoch numbers, which is guessed otherwise.
    pub fn new(columns: Vec<Column>, filter: Filter, unit: Option<TimestampUnit>) -> Self {
        let columns: Arc<[Column]> = columns.into();
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| {
                // What has no builder is built as text, and cast by whoever knows the type.
                let arrow = if column::native(&column.arrow) {
                    column.arrow.clone()
                } else {
                    DataType::Utf8
                };
                Field::new(&column.name, arrow, column.nullable)
            })
            .collect();
        Self {
            names: Arc::new(Names::new(names_of(&columns))),
            columns,
            schema: Arc::new(ArrowSchema::new(fields)),
            filter,
            unit,
            split: Split::default(),
        }
    }

    /// Returns the schema of every batch.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn way(&self) -> Way {
        self.filter.way()
    }

    /// Decodes a body. One without any document gives no rows.
    ///
    /// A fault that the filter raises (`cannot index …`) is a reject after the rows before it, and the next
    /// document goes on.
    ///
    /// # Errors
    /// The body is not JSON, with the place; no row of it counts then. Or the filter runs away.
    pub fn decode(&self, body: &[u8]) -> anyhow::Result<Decoded> {
        self.decode_texts([text_of(body)?], 0)
    }

    /// As [`Decoder::decode`], for bodies that are one after the other; room is made for `rows` rows.
    ///
    /// # Errors
    /// As for [`Decoder::decode`]; no row of any body counts then.
    pub fn decode_texts<'b>(
        &self,
        bodies: impl IntoIterator<Item = &'b str>,
        rows: usize,
    ) -> anyhow::Result<Decoded> {
        let mut run = self.run(None);
        run.rows.reserve(rows);
        for body in bodies {
            each_document(without_mark(body), |cursor| run.document(cursor))?;
        }
        run.rows.finish(&self.schema)
    }

    /// Decodes one page, and finds what pagination needs to go on.
    ///
    /// # Errors
    /// As for [`Decoder::decode`]; also a cursor or link that is an array or object, or a link filter that fails.
    pub fn decode_page(
        &self,
        body: &[u8],
        cursor_field: Option<&str>,
        link: Option<&Filter>,
    ) -> anyhow::Result<Page> {
        let text = text_of(body)?;
        let mut run = self.run(cursor_field);
        each_document(text, |cursor| run.document(cursor))?;
        let met_items = run.plan.as_ref().is_some_and(Plan::met_items);
        let mut rows = run.rows;
        let last_cursor = match rows.take_last_cursor() {
            Some(raw) => position(Value::of(&raw)).context("the cursor of the last row")?,
            None => None,
        };
        let link = match link {
            Some(filter) => find_link(text, filter).context("the link to the next page")?,
            None => None,
        };
        Ok(Page {
            row_count: rows.count(),
            is_empty: rows.count() == 0 && !met_items,
            last_cursor,
            link,
            decoded: rows.finish(&self.schema)?,
        })
    }

    /// Decodes many small bodies into one batch, in order. One that [`Decoder::decode`] would fail on is a
    /// reject as a whole; the others go on. `row_ends` gets, for each body, how many rows there are after it.
    ///
    /// # Errors
    /// None that a body can cause.
    pub fn decode_each<'b>(
        &self,
        bodies: impl IntoIterator<Item = &'b [u8]>,
        row_ends: &mut Vec<usize>,
    ) -> anyhow::Result<Decoded> {
        let mut run = self.run(None);
        for body in bodies {
            let mark = run.rows.mark();
            let decoded =
                text_of(body).and_then(|text| each_document(text, |cursor| run.document(cursor)));
            if let Err(error) = decoded {
                run.rows.rollback(mark);
                run.rows.reject(Reject {
                    message: format!("{error:#}"),
                    payload: shortened(&String::from_utf8_lossy(body), PAYLOAD_MAX).into_owned(),
                });
            }
            row_ends.push(run.rows.accepted());
        }
        run.rows.finish(&self.schema)
    }

    fn run(&self, cursor_field: Option<&str>) -> Run<'_> {
        let rows = Rows::new(&self.columns, self.unit, cursor_field);
        let names = match rows.extra_name() {
            None => Arc::clone(&self.names),
            extra => Arc::new(Names::new(names_of(&self.columns).chain(extra))),
        };
        let plan = self.filter.plan().cloned();
        let slots = match plan.as_ref().and_then(Plan::member_names) {
            Some(members) => Slots::new(members, &rows),
            None => Slots::default(),
        };
        Run {
            filter: &self.filter,
            rows,
            matcher: Matcher::new(names),
            plan,
            slots,
            scratch: Vec::new(),
            split: self.split,
        }
    }
}

fn names_of(columns: &[Column]) -> impl Iterator<Item = &str> {
    columns.iter().map(|column| column.name.as_str())
}

/// One body while it is decoded.
struct Run<'d> {
    filter: &'d Filter,
    rows: Rows,
    matcher: Matcher,
    /// Learns how the documents look.
    plan: Option<Plan>,
    slots: Slots,
    /// The memory of the members of one row, for the next one.
    scratch: Vec<Slot<'static>>,
    split: Split,
}

impl Run<'_> {
    fn document(&mut self, cursor: &mut Cursor<'_>) -> anyhow::Result<Result<(), Fault>> {
        let Some(plan) = &mut self.plan else {
            return self.interpret(cursor);
        };
        let start = cursor.clone();
        let mark = self.rows.mark();
        let mut sink = RowSink {
            rows: &mut self.rows,
            matcher: &mut self.matcher,
            slots: &self.slots,
            listed: plan.listed,
            scratch: &mut self.scratch,
        };
        // Where many documents follow each other, none of them is large.
        let split = match start
            .since(0)
            .bytes()
            .all(|byte| byte.is_ascii_whitespace())
        {
            true => self.split,
            false => Split::NONE,
        };
        let walked = plan.run(cursor, &mut sink, split);
        match walked {
            Ok(()) => Ok(Ok(())),
            Err(Halt::Fault(fault)) => Ok(Err(fault)),
            Err(Halt::Unexpected) => {
                self.rows.rollback(mark);
                *cursor = start;
                self.interpret(cursor)
            }
        }
    }

    /// Runs one document through the interpreter: holds its tree, and one row's text at a time.
    fn interpret(&mut self, cursor: &mut Cursor<'_>) -> anyhow::Result<Result<(), Fault>> {
        let document = match checked(cursor) {
            Ok(document) => document,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut row = String::new();
        let mut sink = RowSink {
            rows: &mut self.rows,
            matcher: &mut self.matcher,
            slots: &self.slots,
            listed: false,
            scratch: &mut self.scratch,
        };
        let ended = self.filter.run(&document, |output| {
            let items = match output {
                jaq_json::Val::Arr(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            for item in items {
                row.clear();
                value::write_val(item, &mut row)?;
                let pushed = sink.take(&mut Cursor::new(&row));
                pushed.map_err(|fault| anyhow!("{}", fault.describe(&row)))?;
            }
            Ok(())
        })?;
        if let Err(message) = ended {
            self.rows.reject(Reject {
                message: jq_message(&message),
                payload: shortened(&document, PAYLOAD_MAX).into_owned(),
            });
        }
        Ok(Ok(()))
    }
}

/// The interpreter's messages quote the value at fault, which may be the whole document: so many characters of them are
/// kept at the start, and so many at the end, where a message says what was to be done with the value.
const MESSAGE_HEAD_MAX: usize = 150;
const MESSAGE_TAIL_MAX: usize = 100;

/// Of a document that the filter fails on, this much is recorded.
const PAYLOAD_MAX: usize = 4096;

/// Returns what is told of a message of the interpreter.
fn jq_message(message: &str) -> String {
    let count = message.chars().count();
    if count <= MESSAGE_HEAD_MAX + MESSAGE_TAIL_MAX {
        return format!("jq: {message}");
    }
    let head = shortened(message, MESSAGE_HEAD_MAX);
    let tail: String = message.chars().skip(count - MESSAGE_TAIL_MAX).collect();
    format!("jq: {head}{tail}")
}

/// Returns the text cut to a number of characters.
fn shortened(text: &str, characters_max: usize) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(characters_max) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// Returns the body as text, a byte order mark cut off.
fn text_of(body: &[u8]) -> anyhow::Result<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Ok(without_mark(text)),
        Err(error) => Err(not_text(error.valid_up_to())),
    }
}

/// The fault of a body whose bytes are text up to a place only.
pub fn not_text(valid_up_to: usize) -> anyhow::Error {
    anyhow!("not valid JSON at byte {valid_up_to}: the body is not UTF-8")
}

/// Returns the text without a byte order mark at its start.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{FEFF}').unwrap_or(text)
}

/// Calls `visit` at the start of each document, which it has to pass.
fn each_document<'a>(
    text: &'a str,
    mut visit: impl FnMut(&mut Cursor<'a>) -> anyhow::Result<Result<(), Fault>>,
) -> anyhow::Result<()> {
    let mut cursor = Cursor::new(text);
    cursor.space();
    while cursor.peek().is_some() {
        let start = cursor.at;
        let passed = visit(&mut cursor)?.and_then(|()| separated(&cursor, start));
        if let Err(fault) = passed {
            bail!("{}", fault.describe(text));
        }
        cursor.space();
    }
    Ok(())
}

/// A number or word must not run into the next document: `01` is not `0` and `1`.
fn separated(cursor: &Cursor<'_>, start: usize) -> Result<(), Fault> {
    let closed = cursor.since(start).ends_with(['}', ']', '"']);
    match cursor.peek() {
        Some(byte) if !closed && !byte.is_ascii_whitespace() => Err(Fault {
            at: cursor.at,
            expected: "whitespace after the document",
        }),
        _ => Ok(()),
    }
}

/// Passes one document and returns it in a form that the interpreter takes.
fn checked<'a>(cursor: &mut Cursor<'a>) -> Result<std::borrow::Cow<'a, str>, Fault> {
    cursor.lone_surrogate = false;
    let document = cursor.value()?;
    Ok(if cursor.lone_surrogate {
        value::without_lone_surrogates(document).into()
    } else {
        document.into()
    })
}

/// Returns a cursor or link as text, whole numbers without exponent; `None` for what ends pagination.
fn position(value: Value<'_>) -> anyhow::Result<Option<String>> {
    let text = match value {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::Bool(true) => "true".to_owned(),
        Value::Number(digits) => {
            number::integer(digits).map_or(digits.to_owned(), |whole| whole.to_string())
        }
        Value::Text(text) => text.get().into_owned(),
        Value::Nested(_) => bail!("expected a text or number, found `{}`", value.shown()),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Finds the first output of a filter over the documents that leads on.
fn find_link(text: &str, filter: &Filter) -> anyhow::Result<Option<String>> {
    let mut link = None;
    each_document(text, |cursor| {
        let start = cursor.clone();
        let mut outputs: Vec<String> = Vec::new();
        let mut plan = filter.plan().filter(|plan| !plan.listed).cloned();
        let walked = match &mut plan {
            Some(plan) => plan.run(cursor, &mut LinkSink(&mut outputs), Split::NONE),
            None => Err(Halt::Unexpected),
        };
        match walked {
            Ok(()) => {}
            Err(Halt::Fault(fault)) => return Ok(Err(fault)),
            Err(Halt::Unexpected) => {
                *cursor = start;
                outputs = match interpret_all(cursor, filter)? {
                    Ok(outputs) => outputs,
                    Err(fault) => return Ok(Err(fault)),
                }
            }
        }
        for output in outputs {
            if link.is_none() {
                link = position(Value::of(&output))?;
            }
        }
        Ok(Ok(()))
    })?;
    Ok(link)
}

fn interpret_all(
    cursor: &mut Cursor<'_>,
    filter: &Filter,
) -> anyhow::Result<Result<Vec<String>, Fault>> {
    let document = match checked(cursor) {
        Ok(document) => document,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut outputs = Vec::new();
    let ended = filter.run(&document, |output| {
        let mut text = String::new();
        value::write_val(output, &mut text)?;
        outputs.push(text);
        Ok(())
    })?;
    ended.map_err(|message| anyhow!("{}", jq_message(&message)))?;
    Ok(Ok(outputs))
}

/// Keeps outputs as they are.
struct LinkSink<'o>(&'o mut Vec<String>);

impl Sink for LinkSink<'_> {
    type Part = Self;

    fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Halt> {
        self.0.push(cursor.value()?.to_owned());
        Ok(())
    }

    fn object<'v>(
        &mut self,
        names: &[String],
        value_of: impl Fn(usize) -> Value<'v>,
    ) -> Result<(), Halt> {
        let mut text = String::new();
        write_object(names, value_of, &mut text);
        self.0.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
