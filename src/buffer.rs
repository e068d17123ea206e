//! Buffers that may become large, then on large pages of the system.
//!
//! Memory that is touched for the first time comes page by page, and a page of 4 KiB takes longer to get than what
//! goes there takes to be copied: a body of 36 MB is received twice as fast on pages of 2 MiB. What is small stays on
//! the heap, so that an idle pipeline holds no more than it needs.

use std::io::Read;
use std::ops::Deref;

use memmap2::{MmapMut, MmapOptions};

/// A buffer of more bytes lies on pages of its own.
const HEAP_BYTES_MAX: usize = 4 << 20;

/// Pages that have become too few are replaced by so many times as many.
const GROWTH: usize = 4;

/// What is read at once: the less, the smaller a buffer is.
const PIECE_BYTES_MIN: usize = 4 * 1024;
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Bytes that come one after the other.
#[derive(Debug)]
pub struct Buffer {
    place: Place,
    bytes_max: usize,
}

#[derive(Debug)]
enum Place {
    Heap(Vec<u8>),
    /// The first `length` bytes of pages that belong to nobody else.
    Pages {
        pages: MmapMut,
        length: usize,
    },
}

impl Buffer {
    /// Makes an empty buffer with room for `bytes`, which is to have no more than `bytes_max` in the end.
    pub fn new(bytes: usize, bytes_max: usize) -> Self {
        let place = match bytes > HEAP_BYTES_MAX {
            false => Place::Heap(Vec::with_capacity(bytes)),
            // Without room for pages there is none for as large a piece of the heap either.
            true => pages(bytes).map_or(Place::Heap(Vec::new()), |pages| Place::Pages {
                pages,
                length: 0,
            }),
        };
        Self { place, bytes_max }
    }

    /// Reads once and adds what that gives at the end. Returns how much that was, 0 at the end of the reader.
    ///
    /// # Errors
    /// The reader's own; nothing is added then.
    pub fn read_from(&mut self, reader: &mut impl Read) -> std::io::Result<usize> {
        match &mut self.place {
            Place::Pages { pages, length } if *length < pages.len() => {
                let end = pages.len().min(*length + PIECE_BYTES_MAX);
                let count = reader.read(&mut pages[*length..end])?;
                *length += count;
                Ok(count)
            }
            Place::Pages { .. } => {
                // Most often this is the end.
                let mut piece = [0; PIECE_BYTES_MIN];
                let count = reader.read(&mut piece)?;
                self.extend_from_slice(&piece[..count]);
                Ok(count)
            }
            Place::Heap(bytes) => {
                let start = bytes.len();
                let room = (bytes.capacity() - start).max(start);
                bytes.resize(start + room.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX), 0);
                let read = reader.read(&mut bytes[start..]);
                bytes.truncate(start + *read.as_ref().unwrap_or(&0));
                if self.len() > HEAP_BYTES_MAX {
                    self.grow(0);
                }
                read
            }
        }
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, more: &[u8]) {
        if self.capacity() - self.len() < more.len() {
            self.grow(more.len());
        }
        match &mut self.place {
            Place::Heap(bytes) => bytes.extend_from_slice(more),
            Place::Pages { pages, length } => {
                pages[*length..*length + more.len()].copy_from_slice(more);
                *length += more.len();
            }
        }
    }

    fn capacity(&self) -> usize {
        match &self.place {
            Place::Heap(bytes) => bytes.capacity(),
            Place::Pages { pages, .. } => pages.len(),
        }
    }

    /// Makes room for so many bytes more. Pages that nothing is written to take no memory.
    fn grow(&mut self, more: usize) {
        let length = self.len();
        let needed = length.saturating_add(more);
        let wanted = needed.saturating_mul(GROWTH).min(self.bytes_max);
        let pages = (needed > HEAP_BYTES_MAX)
            .then(|| pages(needed.max(wanted)))
            .flatten();
        match (pages, &mut self.place) {
            (Some(mut pages), _) => {
                pages[..length].copy_from_slice(self);
                self.place = Place::Pages { pages, length };
            }
            (None, Place::Heap(bytes)) => bytes.reserve(more),
            (None, Place::Pages { .. }) => {
                let mut bytes = Vec::with_capacity(needed);
                bytes.extend_from_slice(self);
                self.place = Place::Heap(bytes);
            }
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Heap(bytes) => bytes,
            Place::Pages { pages, length } => &pages[..*length],
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes_max: bytes.len(),
            place: Place::Heap(bytes),
        }
    }
}

/// Returns pages for so many bytes, large ones where the system has them; `None` if it gives no room.
fn pages(bytes: usize) -> Option<MmapMut> {
    let pages = MmapOptions::new().len(bytes).no_reserve_swap().map_anon();
    let pages = pages
        .inspect_err(|error| tracing::debug!(bytes, %error, "a large buffer is on the heap"))
        .ok()?;
    // Small pages do too.
    #[cfg(target_os = "linux")]
    pages.advise(memmap2::Advice::HugePage).unwrap_or_default();
    Some(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of which no two neighbouring pieces are the same.
    fn piece(number: usize, length: usize) -> Vec<u8> {
        (0..length).map(|at| ((at + number) % 251) as u8).collect()
    }

    #[test]
    fn bytes_stay_what_they_are_wherever_the_buffer_moves() {
        const MIB: usize = 1 << 20;
        for (announced, bytes_max) in [
            (0, usize::MAX),
            (0, 100 * MIB),
            (0, 0),
            (100, 100 * MIB),
            (5 * MIB, 100 * MIB),
            (5 * MIB, 5 * MIB),
            (20 * MIB, 20 * MIB),
        ] {
            let mut buffer = Buffer::new(announced, bytes_max);
            let mut expected = Vec::new();
            for number in 0..40 {
                let piece = piece(number, [0, 1, 300_000, 700_001][number % 4]);
                let (first, second) = piece.split_at(piece.len() / 3);
                buffer.extend_from_slice(first);
                let mut reader = second;
                while buffer.read_from(&mut reader).unwrap() > 0 {}
                expected.extend_from_slice(&piece);
                assert!(*buffer == *expected, "{announced} {bytes_max} {number}");
            }
        }
    }

    #[test]
    fn what_is_small_is_on_the_heap_and_what_is_large_is_not() {
        let mut buffer = Buffer::new(0, usize::MAX);
        buffer.extend_from_slice(&piece(0, HEAP_BYTES_MAX));
        assert!(matches!(buffer.place, Place::Heap(_)));
        buffer.extend_from_slice(&piece(1, HEAP_BYTES_MAX + 1));
        assert!(matches!(buffer.place, Place::Pages { .. }));
        assert_eq!(buffer.len(), 2 * HEAP_BYTES_MAX + 1);
    }

    #[test]
    fn a_buffer_that_gets_no_pages_is_on_the_heap() {
        // More than any system gives.
        let mut buffer = Buffer::new(usize::MAX >> 8, usize::MAX >> 8);
        buffer.extend_from_slice(&piece(0, HEAP_BYTES_MAX * 2));
        assert!(*buffer == *piece(0, HEAP_BYTES_MAX * 2));
    }
}
