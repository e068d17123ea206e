//! A cursor over JSON text that checks everything it passes and copies nothing.
//!
//! Strict RFC 8259: what it accepts is JSON, to the last skipped byte. It knows nothing of filters or
//! columns; [`super::decode`] walks a body with it, and [`super::value`] reads the pieces.
//!
//! Own code instead of a JSON crate because the walk needs three things together that none offers: one
//! pass that validates and keeps the text of numbers, the place of a fault, and keys compared with those
//! of the row before (see [`super::fields`]), which is where most of the speed comes from.

use std::borrow::Cow;

use super::bytes::{Word, digits_length, plain_length};

/// Nesting deeper than this is refused: nothing real is deeper, and interpreters of JSON recurse.
pub const DEPTH_MAX: usize = 256;

/// Where the text stops being JSON, and what should have been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub at: usize,
    pub expected: &'static str,
}

impl Fault {
    /// Says what is wrong, with line, column (in characters, from 1) and byte offset.
    pub fn describe(&self, text: &str) -> String {
        let before = &text.as_bytes()[..self.at.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        // Bytes that continue a character are not counted.
        let column = before[line_start..]
            .iter()
            .filter(|byte| **byte & 0xC0 != 0x80)
            .count()
            + 1;
        let found = match text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("found {character:?}"),
            None if self.at >= text.len() => "the text ends".to_owned(),
            None => "found a byte within a character".to_owned(),
        };
        format!(
            "not valid JSON at line {line} column {column} (byte {}): expected {}, {found}",
            self.at, self.expected
        )
    }
}

/// The text between the quotes of a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// As written, escapes included.
    pub raw: &'a str,
    pub escaped: bool,
}

impl<'a> Text<'a> {
    /// Returns the characters meant. Half of a surrogate pair gives U+FFFD.
    pub fn get(&self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// A place in a text. All methods leave it behind what they read.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    pub at: usize,
    /// Brackets that are open around the cursor.
    depth: usize,
    /// Set when a string held half of a surrogate pair: legal JSON, but not every parser takes it.
    pub lone_surrogate: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            lone_surrogate: false,
        }
    }

    /// Returns all of the text, what lies before and behind the cursor included.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the text from a former place up to here.
    pub fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Returns the byte under the cursor.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes whitespace.
    #[inline]
    pub fn space(&mut self) {
        while let Some(byte) = self.peek() {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                break;
            }
            self.at += 1;
        }
    }

    fn fault<T>(&self, expected: &'static str) -> Result<T, Fault> {
        Err(Fault {
            at: self.at,
            expected,
        })
    }

    /// Passes `word` and says whether it was there.
    #[inline]
    pub fn take_word(&mut self, word: &Word) -> bool {
        let there = word.begins(&self.text.as_bytes()[self.at..]);
        if there {
            self.at += word.len();
        }
        there
    }

    #[inline]
    fn take(&mut self, word: &[u8]) -> bool {
        let there = self.text.as_bytes()[self.at..].starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return self.fault(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes one value and returns its text.
    ///
    /// # Errors
    /// The text is not JSON, here and in all methods.
    #[inline]
    pub fn value(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.skip_object(),
            Some(b'[') => self.skip_array(),
            Some(b't') if self.take(b"true") => Ok(()),
            Some(b'f') if self.take(b"false") => Ok(()),
            Some(b'n') if self.take(b"null") => Ok(()),
            _ => self.fault("a value"),
        }
    }

    fn skip_object(&mut self) -> Result<(), Fault> {
        let mut more = self.open(b'}')?;
        while more {
            self.string()?;
            self.colon()?;
            self.skip()?;
            more = self.next_member(b'}')?;
        }
        Ok(())
    }

    fn skip_array(&mut self) -> Result<(), Fault> {
        let mut more = self.open(b']')?;
        while more {
            self.skip()?;
            more = self.next_member(b']')?;
        }
        Ok(())
    }

    /// Passes the opening bracket under the cursor; false if the closing one follows, which is passed too.
    #[inline]
    pub fn open(&mut self, close: u8) -> Result<bool, Fault> {
        if self.depth >= DEPTH_MAX {
            return self.fault("at most 256 levels of nesting");
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    /// Passes the comma after a member; false if it was the closing bracket.
    #[inline]
    pub fn next_member(&mut self, close: u8) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ if close == b'}' => self.fault("`,` or `}`"),
            _ => self.fault("`,` or `]`"),
        }
    }

    /// Passes the colon between key and value, and the whitespace around it.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.space();
        self.expect(b':', "`:`")?;
        self.space();
        Ok(())
    }

    /// Passes a string.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        self.at += plain_length(&self.text.as_bytes()[start..]);
        if self.peek() == Some(b'"') {
            let raw = &self.text[start..self.at];
            self.at += 1;
            return Ok(Text {
                raw,
                escaped: false,
            });
        }
        self.escaped_string(start)
    }

    fn escaped_string(&mut self, start: usize) -> Result<Text<'a>, Fault> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped: true });
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fault("no bare control character in a string"),
                None => return self.fault("`\"`"),
            }
            self.at += plain_length(&self.text.as_bytes()[self.at..]);
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex()?;
                if (0xD800..0xE000).contains(&unit) {
                    self.surrogate(unit)?;
                }
            }
            _ => return self.fault("an escape such as `\\n` or `\\u00e9`"),
        }
        Ok(())
    }

    fn surrogate(&mut self, unit: u16) -> Result<(), Fault> {
        let start = self.at;
        if unit < 0xDC00 && self.take(b"\\u") && (0xDC00..0xE000).contains(&self.hex()?) {
            return Ok(());
        }
        // What follows, if anything, is an escape of its own.
        self.at = start;
        self.lone_surrogate = true;
        Ok(())
    }

    fn hex(&mut self) -> Result<u16, Fault> {
        let mut unit: u16 = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return self.fault("four hexadecimal digits");
            };
            unit = unit << 4 | u16::try_from(digit).expect("a hexadecimal digit is below 16");
            self.at += 1;
        }
        Ok(unit)
    }

    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        match digits_length(&self.text.as_bytes()[self.at..]) {
            0 => self.fault("a digit"),
            length => {
                self.at += length;
                Ok(())
            }
        }
    }
}

/// Returns true if the text is exactly one JSON number.
pub fn is_number(text: &str) -> bool {
    let mut cursor = Cursor::new(text);
    matches!(cursor.peek(), Some(b'-' | b'0'..=b'9'))
        && cursor.number().is_ok()
        && cursor.at == text.len()
}

/// Replaces the escapes of a string that was checked before.
fn unescape(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match kind {
            b'u' => {
                let (character, length) = unicode_escape(rest);
                plain.push(character);
                rest = &rest[length..];
            }
            b'b' => plain.push('\u{8}'),
            b'f' => plain.push('\u{c}'),
            b'n' => plain.push('\n'),
            b'r' => plain.push('\r'),
            b't' => plain.push('\t'),
            other => plain.push(char::from(other)),
        }
    }
    plain.push_str(rest);
    plain
}

/// Reads what follows `\u`: the character, and how many bytes it took.
fn unicode_escape(rest: &str) -> (char, usize) {
    let unit = |at: usize| {
        rest.get(at..at + 4)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
    };
    let high = unit(0).unwrap_or(0xFFFD);
    let pair = (0xD800..0xDC00).contains(&high) && rest[4..].starts_with("\\u");
    let low = unit(6).filter(|low| pair && (0xDC00..0xE000).contains(low));
    if let Some(low) = low {
        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        return (character, 10);
    }
    (
        char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
        4,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.value().is_ok() && cursor.at == text.len()
    }

    #[test]
    fn accepts_what_serde_json_accepts() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u00e9\"",
            "\"\\x\"",
            "\"\t\"",
            "1",
            "-0",
            "01",
            "1.",
            "1.5e-3",
            "-",
            "true",
            "nul",
            "null",
            " ",
            "\"",
            "\\",
            "é",
            "\"12345678\\\"9\"",
            "[1,2]",
            "{\"a\":1}",
        ];
        for _ in 0..200_000 {
            let text: String = (0..random.usize(1..7))
                .map(|_| pieces[random.usize(..pieces.len())])
                .collect();
            let reference = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(accepts(text.trim_matches(' ')), reference, "{text}");
        }
    }

    #[test]
    fn strings_are_unescaped_and_lone_surrogates_replaced() {
        for (raw, plain) in [
            (r#""a\n\"\\\/\u00e9""#, "a\n\"\\/é"),
            (r#""\ud83d\ude00!""#, "😀!"),
            (r#""x\ud83dy""#, "x\u{FFFD}y"),
            (r#""\ude00\ud83d\u0041""#, "\u{FFFD}\u{FFFD}A"),
        ] {
            let mut cursor = Cursor::new(raw);
            assert_eq!(cursor.string().unwrap().get(), plain);
            assert_eq!(cursor.lone_surrogate, plain.contains('\u{FFFD}'));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(accepts(&format!("{}{}", "[".repeat(256), "]".repeat(256))));
        assert!(!accepts(&format!("{}{}", "[".repeat(257), "]".repeat(257))));
        assert!(!accepts(&"[".repeat(1_000_000)));
    }

    #[test]
    fn a_fault_names_its_place() {
        let text = "{\n \"é\": tru}";
        let fault = Cursor::new(text).value().unwrap_err();
        assert_eq!(
            fault.describe(text),
            "not valid JSON at line 2 column 7 (byte 9): expected a value, found 't'"
        );
    }
}
