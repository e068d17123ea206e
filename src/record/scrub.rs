//! Takes secrets out of what is written down.
//!
//! A secret is looked for as it is, and in the forms in which it travels: percent-encoded, as a form field,
//! escaped in JSON, in base64 and in hexadecimal. Called by the recorder for every text of a line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{RwLock, RwLockReadGuard};

use crate::format::write_base64;
use crate::secret::{Secret, sounds_secret};

/// Shorter ones are left alone, as everywhere: masking them would make any text unreadable.
const BYTES_MIN: usize = 4;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// The secrets to take out.
#[derive(Default)]
pub struct Scrub {
    /// The clear texts, so that none is added twice.
    known: BTreeSet<String>,
    /// What to look for, the longest first: a secret may hold another one.
    needles: Vec<String>,
}

/// As [`Scrub`], while other threads add secrets.
#[derive(Default)]
pub struct SharedScrub(RwLock<Scrub>);

impl SharedScrub {
    /// Takes these out of everything from now on.
    pub fn hide<'s>(&self, secrets: impl IntoIterator<Item = &'s Secret>) {
        let mut scrub = self.0.write().expect("no panic happens under this lock");
        for secret in secrets {
            scrub.hide(secret);
        }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Scrub> {
        self.0.read().expect("no panic happens under this lock")
    }
}

impl Scrub {
    /// Adds a secret with the forms in which it travels.
    pub fn hide(&mut self, secret: &Secret) {
        let clear = secret.expose();
        if clear.len() < BYTES_MIN || !self.known.insert(clear.to_owned()) {
            return;
        }
        let mut forms = vec![clear.to_owned()];
        for unreserved in ["", "-._~", "-._~*"] {
            let [upper, lower] = ["X", "x"].map(|digits| percent(clear, unreserved, digits));
            for encoded in [upper, lower] {
                forms.extend([encoded.replace("%20", "+"), encoded]);
            }
        }
        // Also as JSON that stands as a text in JSON.
        let escaped = json_text(clear);
        forms.extend([escaped.replace('/', "\\/"), json_text(&escaped), escaped]);
        let mut base64 = Vec::new();
        write_base64(clear.as_bytes(), &mut base64);
        forms.push(String::from_utf8_lossy(&base64).into_owned());
        let mut hex = String::new();
        for byte in clear.bytes() {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        }
        forms.push(hex);
        self.needles.extend(forms);
        self.needles
            .sort_by(|left, right| (right.len(), right.as_str()).cmp(&(left.len(), left.as_str())));
        self.needles.dedup();
    }

    /// Returns the text with every secret as [`MASK`].
    pub fn text(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for needle in &self.needles {
            if clean.contains(needle.as_str()) {
                clean = clean.replace(needle.as_str(), MASK);
            }
        }
        clean
    }

    /// Returns a URL with every secret as [`MASK`], and the values of parameters that sound like one.
    pub fn url(&self, url: &str) -> String {
        let Some((place, query)) = url.split_once('?') else {
            return self.text(url);
        };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if sounds_secret(name) => format!("{name}={MASK}"),
            _ => pair.to_owned(),
        });
        let pairs: Vec<String> = pairs.collect();
        self.text(&format!("{place}?{}", pairs.join("&")))
    }

    /// Returns the bytes with every secret as [`MASK`], text or not.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return self.text(text).into_bytes();
        }
        let mut clean = bytes.to_vec();
        for needle in &self.needles {
            clean = without(&clean, needle.as_bytes());
        }
        clean
    }
}

/// Returns the text as it stands between the quotes of JSON.
fn json_text(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the text with everything but letters, digits and `unreserved` as `%XX` or `%xx`.
fn percent(text: &str, unreserved: &str, digits: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        let written = match digits {
            _ if character.is_ascii_alphanumeric() || unreserved.contains(character) => {
                encoded.push(character);
                continue;
            }
            "x" => write!(encoded, "%{byte:02x}"),
            _ => write!(encoded, "%{byte:02X}"),
        };
        written.expect("writing to a string cannot fail");
    }
    encoded
}

fn without(bytes: &[u8], needle: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        match rest.strip_prefix(needle) {
            Some(after) => {
                clean.extend_from_slice(MASK.as_bytes());
                rest = after;
            }
            None => {
                clean.push(*first);
                rest = &rest[1..];
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_it_travels_in() {
        let mut scrub = Scrub::default();
        scrub.hide(&Secret::new("s3c/r t\"x"));
        for text in [
            "a s3c/r t\"x b",
            "?k=s3c%2Fr%20t%22x&",
            "?k=s3c%2fr%20t%22x&",
            "k=s3c%2Fr+t%22x",
            r#"{"k":"s3c/r t\"x"}"#,
            r#"{"k":"s3c\/r t\"x"}"#,
            "czNjL3IgdCJ4",
            "7333632f7220742278",
        ] {
            let clean = scrub.text(text);
            assert!(clean.contains(MASK), "{text}: {clean}");
            assert!(!clean.contains("s3c"), "{clean}");
        }
        assert_eq!(scrub.bytes(b"\xffs3c/r t\"x\xfe"), b"\xff***\xfe");
        scrub.hide(&Secret::new("abc"));
        assert_eq!(scrub.text("abc"), "abc", "too short to be looked for");
    }
}
