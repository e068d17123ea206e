//! Bytes in a record: as JSON where that gives the same bytes again, as text where they are text, in base64
//! otherwise.
//!
//! Pure functions; called by whoever writes or reads a line.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::format::write_base64;

/// Bytes as they stand in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Bytes that this value gives when it is written without spaces.
    Json(Value),
    Text(String),
    Base64(String),
}

impl Content {
    /// Returns the most readable form that gives the very bytes back.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::of_text(text),
            Err(_) => {
                let mut encoded = Vec::new();
                write_base64(bytes, &mut encoded);
                Self::Base64(String::from_utf8(encoded).expect("base64 is ASCII"))
            }
        }
    }

    /// As [`Content::of`].
    pub fn of_text(text: &str) -> Self {
        // Only objects and arrays: a bare number or word says more as the text it is.
        if !text.starts_with(['{', '[']) {
            return Self::Text(text.to_owned());
        }
        let value: Option<Value> = serde_json::from_str(text).ok();
        let written = value.as_ref().map(Value::to_string);
        match value {
            Some(value) if written.as_deref() == Some(text) => Self::Json(value),
            _ => Self::Text(text.to_owned()),
        }
    }

    /// Returns the bytes.
    ///
    /// # Errors
    /// Base64 that is none.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Json(value) => Ok(value.to_string().into_bytes()),
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Base64(text) => decode(text).context("`base64` is not base64"),
        }
    }
}

/// Returns the bytes of padded base64 (RFC 4648, section 4); `None` if it is none.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.strip_suffix(b"==").or(text.strip_suffix(b"="));
    let body = body.unwrap_or(text);
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in body {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("eight bits fit"));
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_content_gives_its_bytes_back() {
        let texts = [
            r#"{"a":1,"b":[1.5,"x"]}"#,
            r#"{"b":1.10}"#,
            "{ \"spaced\": 1 }",
            "{\"twice\":1,\"twice\":2}",
            "plain",
            "",
            "[1",
        ];
        for text in texts {
            assert_eq!(Content::of_text(text).bytes().unwrap(), text.as_bytes());
        }
        assert!(matches!(Content::of_text(texts[0]), Content::Json(_)));
        assert!(matches!(Content::of_text(texts[1]), Content::Text(_)));
        for length in 0..10_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| 0xff - n * 7).collect();
            assert_eq!(Content::of(&bytes).bytes().unwrap(), bytes);
        }
        assert!(Content::Base64("a*==".to_owned()).bytes().is_err());
    }
}
