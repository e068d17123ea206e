//! Buffers that may become large, then on large pages of the system.
//!
//! Memory that is touched for the first time comes page by page, and a page of 4 KiB takes longer to get than what
//! goes there takes to be copied: a body of 36 MB is received twice as fast on pages of 2 MiB. What is small stays on
//! the heap, so that an idle pipeline holds no more than it needs.

use std::io::Read;
use std::ops::Deref;
use std::sync::Once;

use memmap2::{Advice, MmapMut, MmapOptions};

/// A buffer of more bytes lies on pages of its own.
const HEAP_BYTES_MAX: usize = 4 << 20;

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
        let pages = (bytes > HEAP_BYTES_MAX).then(|| pages(bytes)).flatten();
        let place = match pages {
            Some(pages) => Place::Pages { pages, length: 0 },
            None => Place::Heap(Vec::with_capacity(bytes)),
        };
        Self { place, bytes_max }
    }

    /// Reads once and adds what that gives at the end: as much as `scratch` has room for, at most. Returns how much that
    /// was, 0 at the end of the reader.
    ///
    /// # Errors
    /// The reader's own; nothing is added then.
    pub fn read_from(
        &mut self,
        reader: &mut impl Read,
        scratch: &mut [u8],
    ) -> std::io::Result<usize> {
        if let Place::Pages { pages, length } = &mut self.place {
            let room = scratch.len().min(pages.len() - *length);
            if room > 0 {
                let count = reader.read(&mut pages[*length..*length + room])?;
                *length += count;
                return Ok(count);
            }
        }
        let count = reader.read(scratch)?;
        self.extend_from_slice(&scratch[..count]);
        Ok(count)
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

    /// Makes room for so many bytes more. Pages that nothing is written to take no memory, so that a large buffer gets
    /// all it may ever need at once, and is not copied again.
    fn grow(&mut self, more: usize) {
        let length = self.len();
        let needed = length.saturating_add(more);
        let pages = (needed > HEAP_BYTES_MAX)
            .then(|| pages(needed.max(self.bytes_max)))
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
    allow_large_pages();
    let pages = MmapOptions::new().len(bytes).no_reserve_swap().map_anon();
    let pages = pages
        .inspect_err(|error| tracing::debug!(bytes, %error, "a large buffer is on the heap"))
        .ok()?;
    // Small pages do too.
    pages.advise(Advice::HugePage).unwrap_or_default();
    Some(pages)
}

/// Lets this process have large pages where it asks for them. Its allocator switches them off for all of it, since with
/// them an idle pipeline would hold more than it needs. That stays so on a system that gives them to whoever does not
/// ask.
fn allow_large_pages() {
    const MODE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    static ALLOWED: Once = Once::new();
    ALLOWED.call_once(|| {
        let mode = std::fs::read_to_string(MODE).unwrap_or_default();
        if mode.contains("[madvise]")
            && let Err(error) = rustix::thread::disable_transparent_huge_pages(false)
        {
            tracing::debug!(%error, "no large pages");
        }
    });
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
                let (mut reader, mut scratch) = (second, [0; 65_536]);
                while buffer.read_from(&mut reader, &mut scratch).unwrap() > 0 {}
                expected.extend_from_slice(&piece);
                assert!(*buffer == *expected, "{announced} {bytes_max} {number}");
            }
        }
    }

    #[test]
    fn what_is_small_is_on_the_heap_and_what_is_large_is_not() {
        let mut buffer = Buffer::new(0, usize::MAX >> 8);
        buffer.extend_from_slice(&piece(0, HEAP_BYTES_MAX));
        assert!(matches!(buffer.place, Place::Heap(_)));
        buffer.extend_from_slice(b"x");
        // More than any system gives: it stays where it is.
        assert!(matches!(buffer.place, Place::Heap(_)));
        buffer.bytes_max = HEAP_BYTES_MAX * 2;
        buffer.extend_from_slice(&piece(1, HEAP_BYTES_MAX));
        assert!(matches!(buffer.place, Place::Pages { .. }));
        assert_eq!(buffer.len(), 2 * HEAP_BYTES_MAX + 1);
    }
}
