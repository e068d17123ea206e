//! Messages as they came, back to back in one buffer, and what the decoder makes of them.
//!
//! Decoding costs most at its start, so that many small messages are decoded as one body: each is one or
//! more JSON documents, and a newline parts them. A message that is no JSON must not take the others with
//! it: then the halves are decoded alone, down to the one at fault.

use std::ops::Range;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::batch::{Decoded, RecordBatch, Reject, compute};
use crate::format::Decoder;

/// Of a message that is no JSON, this many characters are kept.
const PAYLOAD_MAX: usize = 4096;

/// A filter that takes this long over a batch runs away on one of its messages; halving would run it
/// again and again, so that the messages are then decoded one by one.
const DECODE_SLOW: Duration = Duration::from_secs(2);

/// The least that room is kept for: a connection that brings less has little to grow.
const ROOM_BYTES_MIN: usize = 64 * 1024;

/// The instant at which a message was received, on the clock that is shown and on the one that only grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub time: DateTime<Utc>,
    pub instant: Instant,
}

/// Messages in the order received.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The messages, a newline after each.
    body: Vec<u8>,
    /// Where in `body` each message ends; its newline is there.
    ends: Vec<usize>,
    /// So many messages at the front were handed on.
    taken: usize,
    /// Of the first message.
    received: Option<Received>,
    /// The bytes and messages to make room for with the first one.
    room: Option<(usize, usize)>,
}

impl Frames {
    /// Adds a message; `spare` may give what the first one of many is written to.
    pub fn push(
        &mut self,
        message: &[u8],
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
        self.body.extend_from_slice(message);
        self.ends.push(self.body.len());
        self.body.push(b'\n');
    }

    pub fn len(&self) -> usize {
        self.ends.len() - self.taken
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes the messages have, without the newlines.
    pub fn byte_count(&self) -> usize {
        self.span(0..self.len())
            .len()
            .saturating_sub(self.len().saturating_sub(1))
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

    /// Moves messages from the front of `other` to the end, until there are `count_max`.
    pub fn take_from(&mut self, other: &mut Self, count_max: usize) {
        let fits = other.len() <= count_max && other.taken == 0;
        if self.is_empty() && fits && self.body.capacity() < other.body.len() {
            std::mem::swap(self, other);
            other.clear();
            return;
        }
        let count = other.len().min(count_max.saturating_sub(self.len()));
        if count == 0 {
            return;
        }
        self.received = self.received.or(other.received);
        let moved = other.span(0..count);
        let first = other.start(0);
        let offset = self.body.len();
        self.body.extend_from_slice(moved);
        self.body.push(b'\n');
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
        self.received = None;
    }

    fn start(&self, index: usize) -> usize {
        match self.taken + index {
            0 => 0,
            number => self.ends[number - 1] + 1,
        }
    }

    /// Returns the messages of a range, newlines between them.
    fn span(&self, range: Range<usize>) -> &[u8] {
        if range.is_empty() {
            return &[];
        }
        &self.body[self.start(range.start)..self.ends[self.taken + range.end - 1]]
    }

    /// Says whether the messages of a range mean the same when they are read as one body: only then can
    /// no document begin in one message and end in the next.
    ///
    /// In JSON, what stands between two tokens of one document is after `{`, `[`, `,` or `:`, or before
    /// `}`, `]`, `,` or `:`; and no token can have the newline in it.
    fn is_joinable(&self, range: Range<usize>) -> bool {
        range.into_iter().all(|index| {
            let message = self.span(index..index + 1).trim_ascii();
            match (message.first(), message.last()) {
                (Some(first), Some(last)) => {
                    !matches!(first, b'}' | b']' | b',' | b':')
                        && !matches!(last, b'{' | b'[' | b',' | b':')
                }
                _ => true,
            }
        })
    }

    /// Decodes all messages. What is no JSON, or makes the filter run away, is a reject of its own.
    ///
    /// # Errors
    /// Arrow refuses the batches, which would be our fault.
    pub fn decode(&self, decoder: &Decoder) -> anyhow::Result<Decoded> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let mut rejects = Vec::new();
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..self.len()).collect();
        while let Some(range) = ranges.pop() {
            let single = range.len() <= 1;
            if !single && !self.is_joinable(range.clone()) {
                push_halves(&mut ranges, range);
                continue;
            }
            let body = self.span(range.clone());
            let start = Instant::now();
            match decoder.decode(body) {
                Ok(decoded) => {
                    pieces.push(decoded.rows);
                    rejects.extend(decoded.rejects);
                }
                Err(error) if single => rejects.push(Reject {
                    message: format!("{error:#}"),
                    payload: shown(body),
                }),
                Err(_) if start.elapsed() >= DECODE_SLOW => {
                    ranges.extend(range.rev().map(|index| index..index + 1));
                }
                Err(_) => push_halves(&mut ranges, range),
            }
        }
        let rows = match pieces.len() {
            1 => pieces.remove(0),
            _ => compute::concat_batches(decoder.schema(), &pieces)?,
        };
        Ok(Decoded { rows, rejects })
    }
}

/// The front half is to be popped first, so that rows and rejects keep the order of the messages.
fn push_halves(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    ranges.push(middle..range.end);
    ranges.push(range.start..middle);
}

fn shown(body: &[u8]) -> String {
    // A character has four bytes at most.
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * PAYLOAD_MAX)]);
    match text.char_indices().nth(PAYLOAD_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::batch::array::Int64Array;
    use crate::batch::datatypes::DataType;
    use crate::format::Filter;

    fn now() -> Received {
        Received {
            time: Utc::now(),
            instant: Instant::now(),
        }
    }

    fn frames(messages: &[&str]) -> Frames {
        let mut frames = Frames::default();
        for message in messages {
            frames.push(message.as_bytes(), now, || None);
        }
        frames
    }

    /// Decodes to the values of the column `a`, and the rejected payloads.
    fn decode(frames: &Frames) -> (Vec<i64>, Vec<String>) {
        let column = Column {
            name: "a".to_owned(),
            sql_type: "BIGINT".to_owned(),
            arrow: DataType::Int64,
            nullable: true,
        };
        let decoder = Decoder::new(vec![column], Filter::identity(), None);
        let decoded = frames.decode(&decoder).unwrap();
        let values = decoded.rows.column(0).as_any().downcast_ref::<Int64Array>();
        let payloads = decoded.rejects.into_iter().map(|reject| reject.payload);
        (values.unwrap().values().to_vec(), payloads.collect())
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
        let (values, rejects) = decode(&frames(&texts));
        let mut expected: Vec<i64> = (0..100).filter(|a| ![17, 70, 71, 80].contains(a)).collect();
        expected.insert(expected.iter().position(|a| *a == 91).unwrap(), 901);
        assert_eq!(values, expected);
        assert_eq!(rejects, ["pong", "{\"a\":", "1}"]);
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
            let (values, rejects) = decode(&frames(&pair));
            assert_eq!((values.len(), rejects.len()), (0, 2), "{pair:?}");
        }
    }

    #[test]
    fn messages_move_in_order_and_not_beyond_the_bound() {
        let mut batch = frames(&["1"]);
        let mut more = frames(&["20", "300", "4"]);
        batch.take_from(&mut more, 3);
        assert_eq!((batch.len(), more.len()), (3, 1));
        assert_eq!(batch.span(0..3), b"1\n20\n300");
        assert_eq!((batch.byte_count(), more.byte_count()), (6, 1));
        let mut next = Frames::default();
        next.take_from(&mut more, 3);
        assert_eq!((next.span(0..1), more.len()), (&b"4"[..], 0));
        assert!(next.received().is_some() && more.received().is_none());
        assert_eq!(decode(&batch).0, [1, 20, 300]);
        assert_eq!(decode(&Frames::default()).0, [] as [i64; 0]);
    }
}
