//! The messages of one batch, as pieces: what was handed over stays where it is, as long as it is large.

use std::collections::VecDeque;
use std::time::Instant;

use super::frames::{DECODE_SLOW, Frames, Received};
use crate::batch::{Decoded, compute};
use crate::format::Decoder;

/// Pieces that are smaller than this together are put together: each is a body of its own for the decoder.
const PIECE_BYTES_MIN: usize = 32 * 1024;

/// Messages in the order received.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pieces: Vec<Frames>,
}

impl Batch {
    /// Adds one message.
    pub fn push(&mut self, message: &[u8], now: impl FnOnce() -> Received) {
        if self.pieces.is_empty() {
            self.pieces.push(Frames::default());
        }
        if let Some(last) = self.pieces.last_mut() {
            last.push_bytes(message, now, || None);
        }
    }

    pub fn len(&self) -> usize {
        self.pieces.iter().map(Frames::len).sum()
    }

    /// Returns how many bytes the messages have.
    pub fn byte_count(&self) -> usize {
        self.pieces.iter().map(Frames::byte_count).sum()
    }

    /// Returns the memory they take.
    pub fn memory(&self) -> usize {
        self.pieces.iter().map(Frames::memory).sum()
    }

    /// Returns when the first message was received.
    pub fn received(&self) -> Option<Received> {
        self.pieces.iter().find_map(Frames::received)
    }

    /// Moves messages from the front of `more` to the end, until there are `count_max`; `emptied` takes what is left
    /// of pieces whose messages were copied.
    pub fn take_from(
        &mut self,
        more: &mut VecDeque<Frames>,
        count_max: usize,
        mut emptied: impl FnMut(Frames),
    ) {
        let mut room = count_max.saturating_sub(self.len());
        while let Some(mut front) = more.pop_front() {
            let count = front.len().min(room);
            room -= count;
            let grows = |last: &&mut Frames| last.memory() + front.memory() < PIECE_BYTES_MIN;
            let whole = count == front.len();
            match self.pieces.last_mut().filter(grows) {
                Some(last) => last.take_from(&mut front, count),
                None if whole => {
                    self.pieces.push(front);
                    continue;
                }
                None if count > 0 => {
                    let mut piece = Frames::default();
                    piece.take_from(&mut front, count);
                    self.pieces.push(piece);
                }
                None => {}
            }
            if !whole {
                more.push_front(front);
                return;
            }
            emptied(front);
        }
    }

    /// Decodes all messages. What is no JSON, or makes the filter run away, is a reject of its own.
    ///
    /// # Errors
    /// Arrow refuses the batches, which would be our fault.
    pub fn decode(&self, decoder: &Decoder) -> anyhow::Result<Decoded> {
        let start = Instant::now();
        if self.pieces.iter().all(Frames::is_joinable)
            && let Ok(decoded) =
                decoder.decode_texts(self.pieces.iter().map(Frames::body), self.len())
        {
            return Ok(decoded);
        }
        let runs_away = start.elapsed() >= DECODE_SLOW;
        let (mut batches, mut rejects) = (Vec::new(), Vec::new());
        for piece in &self.pieces {
            piece.decode(decoder, runs_away, &mut batches, &mut rejects)?;
        }
        Ok(Decoded {
            rows: compute::concat_batches(decoder.schema(), &batches)?,
            rejects,
        })
    }

    /// Returns the pieces, whose memory may be used again.
    pub fn into_pieces(self) -> Vec<Frames> {
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::testing::{decoded, frames, now};
    use super::*;

    fn texts(batch: &Batch) -> Vec<String> {
        let bodies = batch.pieces.iter().map(Frames::body);
        bodies.map(str::to_owned).collect()
    }

    #[test]
    fn messages_move_in_order_and_not_beyond_the_bound() {
        let mut batch = Batch::default();
        batch.push(b"1", now);
        let mut more = VecDeque::from([frames(&["20", "300", "4"]), frames(&["5"])]);
        batch.take_from(&mut more, 3, |_| unreachable!("some are left"));
        assert_eq!(texts(&batch), ["1\n20\n300"]);
        assert_eq!((batch.len(), batch.byte_count()), (3, 6));
        let mut next = Batch::default();
        let mut emptied = 0;
        next.take_from(&mut more, 3, |frames| {
            assert_eq!(frames.len(), 0);
            emptied += 1;
        });
        assert_eq!((texts(&next), emptied), (vec!["4\n5".to_owned()], 1));
        assert!(next.received().is_some() && more.is_empty());
        assert_eq!(decoded(|decoder| batch.decode(decoder)).0, [1, 20, 300]);
        assert!(
            decoded(|decoder| Batch::default().decode(decoder))
                .0
                .is_empty()
        );
    }

    #[test]
    fn large_pieces_stay_what_they_are_and_one_at_the_bound_is_cut() {
        let number = format!("{:>1000}", 1);
        let large = || frames(&vec![number.as_str(); 100]);
        let mut more = VecDeque::from([large(), frames(&["2"]), large(), large()]);
        let mut batch = Batch::default();
        let mut emptied = 0;
        batch.take_from(&mut more, 250, |_| emptied += 1);
        let counts = |pieces: &[Frames]| pieces.iter().map(Frames::len).collect::<Vec<_>>();
        assert_eq!((counts(&batch.pieces), emptied), (vec![100, 1, 100, 49], 0));
        assert_eq!(counts(more.make_contiguous()), [51]);
        let values = decoded(|decoder| batch.decode(decoder)).0;
        assert_eq!((values.len(), values[100]), (250, 2));
        batch = Batch::default();
        batch.take_from(&mut more, 1000, |_| emptied += 1);
        assert_eq!((counts(&batch.pieces), emptied), (vec![51], 0));
        assert_eq!(decoded(|decoder| batch.decode(decoder)).0, [1; 51]);
    }

    #[test]
    fn a_message_that_is_no_json_leaves_the_other_pieces_alone() {
        let number = format!("{:>1000}", 1);
        let mut messages = vec![number.as_str(); 100];
        let good = frames(&messages);
        messages[50] = "pong";
        let mut more = VecDeque::from([good, frames(&messages), frames(&["{\"a\":", "2}"])]);
        let mut batch = Batch::default();
        batch.take_from(&mut more, usize::MAX, drop);
        let (values, rejects) = decoded(|decoder| batch.decode(decoder));
        assert_eq!(values, [1; 199]);
        assert_eq!(rejects, ["pong", "{\"a\":", "2}"]);
    }
}
