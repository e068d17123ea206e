//! Where a polled source stands: the text that is kept in the state with the rows.
//!
//! It is JSON, so that people can read it in the state and later versions can add to it. It holds no secret:
//! URLs come here without their secret parameters, or as a digest.

use chrono::{DateTime, Utc};
use ring::digest;
use serde::{Deserialize, Serialize};
use url::Url;

use super::encoding::hex;
use super::pagination::Next;

/// The position after the last committed page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Those of the first page of the last complete poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validators: Option<Validators>,
    /// The cursor that the next poll goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The poll that was interrupted after a page that had a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
}

/// A poll under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Poll {
    #[serde(with = "instant")]
    pub tick: DateTime<Utc>,
    /// The page to ask for.
    pub next: Next,
    /// The pages that are committed.
    pub pages: u64,
    /// Of the body of the last committed page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Those of this poll's first page; they count once the poll is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validators: Option<Validators>,
}

/// What a conditional request sends back (RFC 9110, section 8.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    /// The digest of the URL they belong to.
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Position {
    /// Parses the text of [`Position::text`].
    ///
    /// # Errors
    /// A text that is none.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers serialize")
    }
}

/// Returns the SHA-256 of some bytes in hexadecimal.
pub(super) fn digest_text(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Returns the name of a URL that does not give it away.
pub(super) fn url_digest(url: &Url) -> String {
    digest_text(url.as_str().as_bytes())
}

/// Instants as RFC 3339, to the nanosecond.
mod instant {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        instant: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&instant.to_rfc3339_opts(SecondsFormat::Nanos, true))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(instant.to_utc())
    }
}
