//! Values that print as `***`, and the named secrets of a pipeline.
//!
//! Knows nothing of where secrets are kept. The only way to the clear text is [`Secret::expose`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What stands for a secret: where it is shown, and where its value is not known.
pub const HIDDEN: &str = "***";

/// A text that never shows itself: `Debug` and `Display` print [`HIDDEN`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the clear text, for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

/// Words that make the name of a query parameter secret wherever they stand in it, in lower case.
const SECRET_WORDS: &[&str] = &[
    "key",
    "token",
    "secret",
    "passw",
    "passphrase",
    "sign",
    "auth",
    "credential",
];

/// Says whether a query parameter of that name, percent-encoded or not, sounds as if it held a secret.
pub fn sounds_secret(name: &str) -> bool {
    let plain = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let lower = plain.to_lowercase();
    SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// The secrets of a pipeline by name; names are case-insensitive.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    by_name: BTreeMap<String, Secret>,
    /// Those whose values are not known.
    unknown: BTreeSet<String>,
}

impl Secrets {
    pub fn insert(&mut self, name: &str, secret: Secret) {
        self.by_name.insert(name.to_lowercase(), secret);
    }

    /// Inserts [`HIDDEN`] in the place of a value that is not known.
    pub fn insert_unknown(&mut self, name: &str) {
        self.insert(name, Secret::new(HIDDEN));
        self.unknown.insert(name.to_lowercase());
    }

    pub fn is_unknown(&self, name: &str) -> bool {
        self.unknown.contains(&name.to_lowercase())
    }

    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.by_name.get(&name.to_lowercase())
    }

    /// Returns the names, in lower case and sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub fn values(&self) -> impl Iterator<Item = &Secret> {
        self.by_name.values()
    }

    /// Replaces every clear text of a secret in `text` by `***`: the last line of defence for
    /// messages that come from outside. Secrets of fewer than four bytes are left alone, since
    /// masking them would make any text unreadable.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in self.by_name.values() {
            if secret.expose().len() >= 4 {
                masked = masked.replace(secret.expose(), "***");
            }
        }
        masked
    }
}
