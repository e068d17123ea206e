//! Bytes compared and counted several at a time.

/// Bytes that are looked for often, such as a key: as many as a register holds are compared at once.
#[derive(Clone, Debug)]
pub struct Word {
    bytes: Box<[u8]>,
    /// The first sixteen bytes, with zeros for those that it does not have.
    head: u128,
    /// Ones for the bytes of `head` that it has.
    mask: u128,
}

impl Word {
    pub fn new(bytes: &[u8]) -> Self {
        let mut word = Self {
            bytes: bytes.into(),
            head: 0,
            mask: 0,
        };
        for (place, byte) in bytes.iter().take(size_of::<u128>()).enumerate() {
            word.head |= u128::from(*byte) << (8 * place);
            word.mask |= u128::from(u8::MAX) << (8 * place);
        }
        word
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Says whether a text begins with it.
    #[inline]
    pub fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(chunk) => {
                (u128::from_le_bytes(*chunk) ^ self.head) & self.mask == 0
                    && (self.bytes.len() <= chunk.len() || text.starts_with(&self.bytes))
            }
            None => text.starts_with(&self.bytes),
        }
    }
}

/// Returns how many digits come first.
#[inline]
pub fn digits_length(bytes: &[u8]) -> usize {
    // Eight bytes at a time: a byte of `other` has its high bit set where there is no digit.
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let values = u64::from_le_bytes(*chunk) ^ (EACH * 0x30);
        let beyond_nine = (values & (EACH * 0x7F)) + EACH * (0x80 - 10);
        let other = (beyond_nine | values) & (EACH * 0x80);
        if other != 0 {
            return at + (other.trailing_zeros() / 8) as usize;
        }
        at += chunk.len();
    }
    let rest = &bytes[at..];
    at + rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len())
}

/// From this length on, texts are passed in larger steps.
const LONG: usize = 16;

/// Returns a number of bytes without quote, backslash or control character: in whole blocks.
#[inline]
fn plain_blocks(bytes: &[u8]) -> usize {
    let special =
        |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<32>() {
        if block.iter().fold(0, |any, byte| any | special(*byte)) != 0 {
            break;
        }
        at += block.len();
    }
    at
}

/// Returns how many bytes come before the first quote, backslash or control character.
#[inline]
pub fn plain_length(bytes: &[u8]) -> usize {
    // Eight bytes at a time: a byte of `found` has its high bit set where one of the three is. Only the
    // lowest such bit is exact (borrows may set later ones), and only the lowest is used.
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(LOW * 0x20) & !word & HIGH;
        let found = zero(word ^ (LOW * 0x22)) | zero(word ^ (LOW * 0x5C)) | control;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += chunk.len();
        // Most texts end here; a longer one is passed in steps that the processor takes at once.
        if at == LONG {
            at += plain_blocks(&bytes[at..]);
        }
    }
    let rest = &bytes[at..];
    at + rest
        .iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_as_one_by_one() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..100_000 {
            let mut bytes = [0; 20];
            for byte in &mut bytes {
                *byte = match random.u8(..8) {
                    0 => random.u8(..),
                    _ => random.u8(b'0'..=b'9'),
                };
            }
            let bytes = &bytes[..random.usize(..=bytes.len())];
            let count = bytes.iter().take_while(|byte| byte.is_ascii_digit());
            assert_eq!(digits_length(bytes), count.count(), "{bytes:?}");
        }
    }

    #[test]
    fn plain_bytes_are_counted_as_one_by_one() {
        let mut random = fastrand::Rng::with_seed(13);
        for _ in 0..100_000 {
            let mut bytes = [0; 120];
            // Some texts are plain for long, some for a few bytes.
            let rare = random.u32(2..200);
            for byte in &mut bytes {
                *byte = match random.u32(..rare) {
                    0 => random.u8(..),
                    _ => random.u8(b'a'..=b'z'),
                };
            }
            let bytes = &bytes[..random.usize(..=bytes.len())];
            let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
            let count = bytes.iter().position(special).unwrap_or(bytes.len());
            assert_eq!(plain_length(bytes), count, "{bytes:?}");
        }
    }

    #[test]
    fn a_word_is_found_where_it_stands_whole() {
        for word in [
            "\"e\"",
            "\"a key of 14 b\"",
            "\"a key of 15 by\"",
            "\"a key of twenty bytes\"",
        ] {
            let needle = Word::new(word.as_bytes());
            assert_eq!(needle.len(), word.len());
            for behind in ["", ":", ":1,\"another key\":2}"] {
                let text = format!("{word}{behind}");
                assert!(needle.begins(text.as_bytes()), "{text}");
                for at in 0..word.len() {
                    let mut other = text.clone().into_bytes();
                    other[at] ^= 1;
                    assert!(!needle.begins(&other), "{text}, not at {at}");
                }
            }
            assert!(!needle.begins(&word.as_bytes()[..word.len() - 1]));
        }
    }
}
