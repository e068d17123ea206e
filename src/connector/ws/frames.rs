//! Messages as they came, back to back in one buffer, and what the decoder makes of them.
//!
//! Decoding costs most at its start, so that many small messages are decoded as one body: each is one or
//! more JSON documents, and a newline parts them. A message that is no JSON must not take the others with
//! it: then the halves are decoded alone, down to the one at fault.

use std::ops::Range;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::batch::{RecordBatch, Reject};
use crate::format::{Decoder, not_text};

/// Of a message that is no JSON, this many characters are kept.
const PAYLOAD_MAX: usize = 4096;

/// A filter that takes this long over a batch runs away on one of its messages; halving would run it
/// again and again, so that the messages are then decoded one by one.
pub(super) const DECODE_SLOW: Duration = Duration::from_secs(2);

/// The least that room is kept for: a connection that brings less has little to grow.
const ROOM_BYTES_MIN: usize = 64 * 1024;

/// The instant at which a message was received, on the clock that is shown and on the one that only grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub time: DateTime<Utc>,
    pub instant: Instant,
}

/// A message that is not UTF-8.
#[derive(Clone, Copy, Debug)]
struct NotText {
    number: usize,
    /// So many bytes at its start are text.
    valid_up_to: usize,
    /// Its bytes as received.
    bytes: usize,
}

/// Messages in the order received.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The messages, a newline after each; U+FFFD where bytes are no text.
    body: String,
    /// Where in `body` each message ends; its newline is there.
    ends: Vec<usize>,
    /// So many messages at the front were handed on.
    taken: usize,
    /// Messages that are not UTF-8, by their number.
    not_text: Vec<NotText>,
    /// Not all messages can be read as one body.
    apart: bool,
    /// Of the first message.
    received: Option<Received>,
    /// The bytes and messages to make room for with the first one.
    room: Option<(usize, usize)>,
}

impl Frames {
    /// Adds a message; `spare` may give what the first one of many is written to.
    pub fn push(
        &mut self,
        message: &str,
        now: impl FnOnce() -> Received,
        spare: impl FnOnce() -> Option<Self>,
    ) {
        if let Some((bytes, count)) = self.room.take() {
            match spare() {
                Some(spare) => *self = spare,
                None => {
                    self.body.reserve(bytes);
                    self.ends.reserve(count);
                }
            }
        }
        if self.received.is_none() {
            self.received = Some(now());
        }
        self.body.push_str(message);
        self.ends.push(self.body.len());
        self.body.push('\n');
        self.apart |= !stands_alone(message);
    }

    /// As [`Frames::push`], for a message that may be no text.
    pub fn push_bytes(
        &mut self,
        message: &[u8],
        now: impl FnOnce() -> Received,
        spare: impl FnOnce() -> Option<Self>,
    ) {
        match std::str::from_utf8(message) {
            Ok(text) => self.push(text, now, spare),
            Err(error) => {
                self.push(&String::from_utf8_lossy(message), now, spare);
                self.not_text.push(NotText {
                    number: self.ends.len() - 1,
                    valid_up_to: error.valid_up_to(),
                    bytes: message.len(),
                });
                self.apart = true;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len() - self.taken
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes the messages had when they were received.
    pub fn byte_count(&self) -> usize {
        let newlines = self.len().saturating_sub(1);
        let left = self
            .not_text
            .iter()
            .filter(|not_text| not_text.number >= self.taken);
        let replaced = left.map(|not_text| {
            let index = not_text.number - self.taken;
            let kept = self.span(index..index + 1).len();
            kept.saturating_sub(not_text.bytes)
        });
        let replaced: usize = replaced.sum();
        self.body().len().saturating_sub(newlines + replaced)
    }

    /// Returns the memory they take.
    pub fn memory(&self) -> usize {
        self.body.len() + self.ends.len() * size_of::<usize>()
    }

    pub fn received(&self) -> Option<Received> {
        self.received
    }

    /// Returns none, which the first message makes room for as many as these where they are many: growing to that
    /// size step by step costs more than reading them. At most so many bytes.
    pub fn with_same_room(&self, bytes_max: usize) -> Self {
        let usual = (ROOM_BYTES_MIN..=bytes_max).contains(&self.body.len());
        Self {
            room: usual.then_some((self.body.len(), self.ends.len())),
            ..Self::default()
        }
    }

    /// Says whether the memory of these, which are empty, is worth keeping.
    pub fn is_roomy(&self) -> bool {
        self.body.capacity() >= ROOM_BYTES_MIN
    }

    /// Forgets all messages and keeps their memory for the next ones, up to `bytes_max` of it.
    pub fn recycled(mut self, bytes_max: usize) -> Self {
        if self.body.capacity() > bytes_max {
            return Self::default();
        }
        self.clear();
        self
    }

    /// Moves `count` messages, or all if there are fewer, from the front of `other` to the end.
    pub fn take_from(&mut self, other: &mut Self, count: usize) {
        let count = other.len().min(count);
        if count == 0 {
            return;
        }
        self.received = self.received.or(other.received);
        let moved = other.span(0..count);
        let first = other.start(0);
        let offset = self.body.len();
        self.body.push_str(moved);
        self.body.push('\n');
        let numbers = other.taken..other.taken + count;
        for not_text in &other.not_text {
            if numbers.contains(&not_text.number) {
                self.not_text.push(NotText {
                    number: not_text.number - other.taken + self.ends.len(),
                    ..*not_text
                });
            }
        }
        self.apart |= other.apart;
        let ends = &other.ends[other.taken..other.taken + count];
        self.ends
            .extend(ends.iter().map(|end| end - first + offset));
        other.taken += count;
        if other.is_empty() {
            other.clear();
        }
    }

    fn clear(&mut self) {
        self.body.clear();
        self.ends.clear();
        self.taken = 0;
        self.not_text.clear();
        self.apart = false;
        self.received = None;
    }

    fn start(&self, index: usize) -> usize {
        match self.taken + index {
            0 => 0,
            number => self.ends[number - 1] + 1,
        }
    }

    /// Returns the messages of a range, newlines between them.
    fn span(&self, range: Range<usize>) -> &str {
        if range.is_empty() {
            return "";
        }
        &self.body[self.start(range.start)..self.ends[self.taken + range.end - 1]]
    }

    /// Says whether the messages of a range mean the same when they are read as one body.
    fn are_joinable(&self, range: Range<usize>) -> bool {
        !self.apart
            || range.into_iter().all(|index| {
                self.valid_length(index).is_none() && stands_alone(self.span(index..index + 1))
            })
    }

    /// Of a message that is no text, returns how many bytes at its start are.
    fn valid_length(&self, index: usize) -> Option<usize> {
        let number = self.taken + index;
        let found = (self.not_text).binary_search_by_key(&number, |not_text| not_text.number);
        found.ok().map(|at| self.not_text[at].valid_up_to)
    }

    /// Returns all messages, newlines between them.
    pub fn body(&self) -> &str {
        self.span(0..self.len())
    }

    /// Says whether all messages mean the same when they are read as one body.
    pub fn is_joinable(&self) -> bool {
        self.are_joinable(0..self.len())
    }

    /// Decodes all messages, appending batches of rows and rejects; one by one, or many at a time. What is no JSON,
    /// or makes the filter run away, is a reject of its own.
    ///
    /// # Errors
    /// Arrow refuses the batches, which would be our fault.
    pub fn decode(
        &self,
        decoder: &Decoder,
        one_by_one: bool,
        batches: &mut Vec<RecordBatch>,
        rejects: &mut Vec<Reject>,
    ) -> anyhow::Result<()> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        if one_by_one {
            push_singles(&mut ranges, 0..self.len());
        } else {
            ranges.push(0..self.len());
        }
        while let Some(range) = ranges.pop() {
            let single = range.len() <= 1;
            if !single && !self.are_joinable(range.clone()) {
                push_halves(&mut ranges, range);
                continue;
            }
            let body = self.span(range.clone());
            let start = Instant::now();
            let decoded = match self.valid_length(range.start) {
                Some(valid_up_to) if single => Err(not_text(valid_up_to)),
                _ => decoder.decode_texts([body], 0),
            };
            match decoded {
                Ok(decoded) => {
                    batches.push(decoded.rows);
                    rejects.extend(decoded.rejects);
                }
                Err(error) if single => rejects.push(Reject {
                    message: format!("{error:#}"),
                    payload: shown(body),
                }),
                Err(_) if start.elapsed() >= DECODE_SLOW => push_singles(&mut ranges, range),
                Err(_) => push_halves(&mut ranges, range),
            }
        }
        Ok(())
    }
}

/// Says whether no document can begin in the message and end in another one.
///
/// In JSON, what stands between two tokens of one document is after `{`, `[`, `,` or `:`, or before `}`, `]`, `,` or
/// `:`; and no token can have the newline in it.
fn stands_alone(message: &str) -> bool {
    let message = message.trim_ascii().as_bytes();
    match (message.first(), message.last()) {
        (Some(first), Some(last)) => {
            !matches!(first, b'}' | b']' | b',' | b':')
                && !matches!(last, b'{' | b'[' | b',' | b':')
        }
        _ => true,
    }
}

/// The first message is to be popped first.
fn push_singles(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    ranges.extend(range.rev().map(|index| index..index + 1));
}

/// The front half is to be popped first, so that rows and rejects keep the order of the messages.
fn push_halves(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    ranges.push(middle..range.end);
    ranges.push(range.start..middle);
}

fn shown(body: &str) -> String {
    match body.char_indices().nth(PAYLOAD_MAX) {
        Some((at, _)) => format!("{}…", &body[..at]),
        None => body.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::batch::array::Int64Array;
    use crate::batch::datatypes::DataType;
    use crate::batch::{Column, Decoded};
    use crate::format::Filter;

    pub fn now() -> Received {
        Received {
            time: Utc::now(),
            instant: Instant::now(),
        }
    }

    pub fn frames(messages: &[&str]) -> Frames {
        let mut frames = Frames::default();
        for message in messages {
            frames.push(message, now, || None);
        }
        frames
    }

    /// Decodes to the values of the column `a`, and the rejected payloads.
    pub fn decoded(
        decode: impl FnOnce(&Decoder) -> anyhow::Result<Decoded>,
    ) -> (Vec<i64>, Vec<String>) {
        let column = Column {
            name: "a".to_owned(),
            sql_type: "BIGINT".to_owned(),
            arrow: DataType::Int64,
            nullable: true,
            in_key: false,
        };
        let decoder = Decoder::new(vec![column], Filter::identity(), None);
        let decoded = decode(&decoder).expect("whatever the messages are, they are decoded");
        let values = decoded.rows.column(0).as_any().downcast_ref::<Int64Array>();
        let payloads = decoded.rejects.into_iter().map(|reject| reject.payload);
        let values = values.expect("the column is declared to be of whole numbers");
        (values.values().to_vec(), payloads.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{decoded, frames, now};
    use super::*;
    use crate::batch::{Decoded, compute};

    fn decode(frames: &Frames, one_by_one: bool) -> (Vec<i64>, Vec<String>) {
        decoded(|decoder| {
            let (mut batches, mut rejects) = (Vec::new(), Vec::new());
            frames.decode(decoder, one_by_one, &mut batches, &mut rejects)?;
            let rows = compute::concat_batches(decoder.schema(), &batches)?;
            Ok(Decoded { rows, rejects })
        })
    }

    #[test]
    fn a_message_that_is_no_json_is_alone_at_fault() {
        let mut messages: Vec<String> = (0..100).map(|a| format!("{{\"a\":{a}}}")).collect();
        messages[17] = "pong".to_owned();
        messages[70] = "{\"a\":".to_owned();
        messages[71] = "1}".to_owned();
        messages[80] = String::new();
        messages[90] = " {\"a\":90} [{\"a\":901}]\n".to_owned();
        let texts: Vec<&str> = messages.iter().map(String::as_str).collect();
        let mut expected: Vec<i64> = (0..100).filter(|a| ![17, 70, 71, 80].contains(a)).collect();
        expected.insert(expected.iter().position(|a| *a == 91).unwrap(), 901);
        for one_by_one in [false, true] {
            let (values, rejects) = decode(&frames(&texts), one_by_one);
            assert_eq!(values, expected);
            assert_eq!(rejects, ["pong", "{\"a\":", "1}"]);
        }
    }

    #[test]
    fn a_message_that_is_no_text_is_alone_at_fault() {
        let mut more = frames(&["1", "2"]);
        more.push_bytes(b"\"a\xFF\"", now, || None);
        more.push_bytes(b"3", now, || None);
        let mut messages = frames(&["0"]);
        messages.take_from(&mut more, 2);
        messages.take_from(&mut more, 5);
        for one_by_one in [false, true] {
            let (values, rejects) = decode(&messages, one_by_one);
            assert_eq!((values, messages.byte_count()), (vec![0, 1, 2, 3], 8));
            assert_eq!(rejects, ["\"a\u{FFFD}\""]);
        }
        assert!(!messages.is_joinable());
        messages.clear();
        messages.push("4", now, || None);
        assert!(messages.is_joinable());
    }

    #[test]
    fn halves_of_a_document_do_not_become_one() {
        for pair in [
            ["{\"a\":", "1}"],
            ["{\"a\":1", "}"],
            ["[{\"a\":1}", ",{\"a\":2}]"],
            ["[{\"a\":1},", "{\"a\":2}]"],
            ["[", "{\"a\":1}]"],
            ["{\"a\"", ":1}"],
        ] {
            let (values, rejects) = decode(&frames(&pair), false);
            assert_eq!((values.len(), rejects.len()), (0, 2), "{pair:?}");
        }
    }
}
