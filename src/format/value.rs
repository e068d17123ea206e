//! One JSON value as its text: what kind it is, and its compact form.
//!
//! Both ways of filtering (walking the body, and the jq interpreter) meet here: the interpreter's values
//! are written as text by [`write_val`], so that there is one conversion to columns.

use std::borrow::Cow;
use std::collections::HashSet;

use anyhow::ensure;
use jaq_json::{Num, Val};

use super::bytes::plain_length;
use super::scan::{Cursor, DEPTH_MAX, Text};

/// A value, classified by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// The digits as written.
    Number(&'a str),
    Text(Text<'a>),
    /// The text of an array or object as written.
    Nested(&'a str),
}

impl<'a> Value<'a> {
    /// Classifies the text of one value that a [`Cursor`] has passed.
    #[inline]
    pub fn of(raw: &'a str) -> Self {
        Self::with_escapes(raw, |text| text.as_bytes().contains(&b'\\'))
    }

    /// As [`Value::of`], with the answer to whether there are escapes in it, should it be a text.
    #[inline]
    pub fn with_escapes(raw: &'a str, escaped: impl FnOnce(&str) -> bool) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => {
                let raw = &raw[1..raw.len() - 1];
                let escaped = escaped(raw);
                Self::Text(Text { raw, escaped })
            }
            Some(b'{' | b'[') => Self::Nested(raw),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            // jq knows no negative zero among the integers.
            Some(_) if raw == "-0" => Self::Number("0"),
            Some(_) => Self::Number(raw),
        }
    }

    /// Appends the value as compact JSON.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => write_text(&text.get(), out),
            Self::Nested(raw) => write_compact(raw, out),
        }
    }

    /// Returns the value as a person reads it, cut to a bound, for messages.
    pub fn shown(&self) -> String {
        // Enough to recognise a value in a message.
        const SHOWN_MAX: usize = 60;
        let text = match self {
            Self::Text(text) => text.get().into_owned(),
            other => {
                let mut text = String::new();
                other.write(&mut text);
                text
            }
        };
        match text.char_indices().nth(SHOWN_MAX) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    }
}

/// Appends the text of a value that a [`Cursor`] has passed without its whitespace, strings in their
/// shortest form; of a key given twice the last value counts, in the first one's place, as in jq.
pub fn write_compact(raw: &str, out: &mut String) {
    let start = out.len();
    let mut cursor = Cursor::new(raw);
    if compact(&mut cursor, out).is_none() {
        out.truncate(start);
        let cleaned = without_lone_surrogates(raw);
        // Keys given twice are rare: the interpreter's own parser settles them.
        let value = jaq_json::read::parse_single(cleaned.as_bytes())
            .expect("the text was checked, and what the checker accepts the interpreter does");
        write_val(&value, out).expect("the text was checked to be of bounded depth");
    }
}

/// The keys of one object so far.
#[derive(Default)]
pub struct Seen<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Adds a key; false if it was there already.
    pub fn insert(&mut self, key: Cow<'a, str>) -> bool {
        // Up to here comparing is faster than hashing.
        const FEW_MAX: usize = 16;
        if self.few.contains(&key) || self.many.contains(&key) {
            return false;
        }
        if self.few.len() < FEW_MAX {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        true
    }
}

/// Copies one value; `None` where a key is given twice.
fn compact<'a>(cursor: &mut Cursor<'a>, out: &mut String) -> Option<()> {
    match cursor.peek() {
        Some(b'{') => {
            let mut seen = Seen::default();
            out.push('{');
            let mut more = cursor.open(b'}').ok()?;
            if !more {
                out.push('}');
            }
            while more {
                let key = cursor.string().ok()?.get();
                write_text(&key, out);
                if !seen.insert(key) {
                    return None;
                }
                cursor.colon().ok()?;
                out.push(':');
                compact(cursor, out)?;
                more = cursor.next_member(b'}').ok()?;
                out.push(if more { ',' } else { '}' });
            }
        }
        Some(b'[') => {
            out.push('[');
            let mut more = cursor.open(b']').ok()?;
            if !more {
                out.push(']');
            }
            while more {
                compact(cursor, out)?;
                more = cursor.next_member(b']').ok()?;
                out.push(if more { ',' } else { ']' });
            }
        }
        _ => Value::of(cursor.value().ok()?).write(out),
    }
    Some(())
}

/// Returns the text with every half of a surrogate pair replaced, which the interpreter refuses.
pub fn without_lone_surrogates(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut cursor = Cursor::new(raw);
    let mut copied = 0;
    while let Some(byte) = cursor.peek() {
        if byte != b'"' {
            cursor.at += 1;
            continue;
        }
        let start = cursor.at;
        cursor.lone_surrogate = false;
        let Ok(text) = cursor.string() else { break };
        if cursor.lone_surrogate {
            out.push_str(&raw[copied..start]);
            write_text(&text.get(), &mut out);
            copied = cursor.at;
        }
    }
    out.push_str(&raw[copied..]);
    out
}

/// Appends a string with quotes and the escapes it needs.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let plain = plain_length(rest.as_bytes());
        out.push_str(&rest[..plain]);
        let Some(byte) = rest.as_bytes().get(plain) else {
            break;
        };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0C => out.push_str("\\f"),
            control => {
                out.push_str("\\u00");
                let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
                out.push(digit(control >> 4));
                out.push(digit(control & 15));
            }
        }
        rest = &rest[plain + 1..];
    }
    out.push('"');
}

/// Appends a value of the interpreter as compact JSON. NaN is `null` and an infinity the largest double,
/// as jq writes them; bytes are text, what is not UTF-8 in them replaced.
///
/// # Errors
/// Nesting deeper than [`DEPTH_MAX`].
pub fn write_val(value: &Val, out: &mut String) -> anyhow::Result<()> {
    write_val_at(value, out, 0)
}

fn write_val_at(value: &Val, out: &mut String, depth: usize) -> anyhow::Result<()> {
    ensure!(
        depth <= DEPTH_MAX,
        "the filter's output is nested deeper than {DEPTH_MAX} levels"
    );
    match value {
        Val::Null => out.push_str("null"),
        Val::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Val::Num(Num::Float(float)) if float.is_nan() => out.push_str("null"),
        Val::Num(Num::Float(float)) if float.is_infinite() => {
            out.push_str(if *float > 0.0 {
                "1.7976931348623157e308"
            } else {
                "-1.7976931348623157e308"
            });
        }
        Val::Num(number) => out.push_str(&number.to_string()),
        Val::BStr(bytes) | Val::TStr(bytes) => write_text(&String::from_utf8_lossy(bytes), out),
        Val::Arr(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_val_at(item, out, depth + 1)?;
            }
            out.push(']');
        }
        Val::Obj(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_key(key, out, depth + 1)?;
                out.push(':');
                write_val_at(member, out, depth + 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Appends a key; one that is no text, which jq would refuse, is the text of its JSON.
fn write_key(key: &Val, out: &mut String, depth: usize) -> anyhow::Result<()> {
    if let Val::TStr(_) | Val::BStr(_) = key {
        return write_val_at(key, out, depth);
    }
    let mut text = String::new();
    write_val_at(key, &mut text, depth)?;
    write_text(&text, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(raw: &str) -> String {
        let mut out = String::new();
        write_compact(raw, &mut out);
        out
    }

    #[test]
    fn compact_text_keeps_numbers_and_drops_spaces() {
        assert_eq!(compacted(" { } ".trim()), "{}");
        assert_eq!(
            compacted(
                "{ \"a\" : [ 1.10 , 1E+2, 123456789012345678901234567890 ], \"b\":\"\\u0041\\/\" }"
            ),
            "{\"a\":[1.10,1E+2,123456789012345678901234567890],\"b\":\"A/\"}"
        );
    }

    #[test]
    fn of_a_key_given_twice_the_last_value_counts() {
        assert_eq!(
            compacted(r#"{"a":1,"b":2,"a":{"c":3}}"#),
            r#"{"a":{"c":3},"b":2}"#
        );
        assert_eq!(
            compacted(r#"[{"a":"\ud800","a":"\ud800x"}]"#),
            "[{\"a\":\"\u{FFFD}x\"}]"
        );
    }

    #[test]
    fn compact_text_reads_back_as_the_same_value() {
        for text in [
            r#"{"k\n":"\u0000\u001f\"\\ é"}"#,
            "[[],{},[{}],null,true,false]",
        ] {
            let reference: serde_json::Value = serde_json::from_str(text).unwrap();
            let ours: serde_json::Value = serde_json::from_str(&compacted(text)).unwrap();
            assert_eq!(ours, reference);
        }
    }
}
