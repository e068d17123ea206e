//! One line of a record: an instant and what happened then.
//!
//! The lines are the format: what is added later gets a kind, or a member that may be absent.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Content;

/// The version of the format, which the first line of a record says.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it came, or for an exchange when it was asked for.
    #[serde(with = "instant")]
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The first line: the run begins.
    Begin {
        format: u32,
        /// The program's version, for people.
        omlsp: String,
        /// The sources that were part of the run.
        sources: Vec<String>,
    },
    /// Where a source stood when the run began, if it had run before.
    Cursor { entity: String, cursor: String },
    /// A scheduled source began a poll.
    Tick {
        entity: String,
        /// The instant of the schedule, which is the poll's TRIGGER_TIME.
        #[serde(with = "instant")]
        due: DateTime<Utc>,
    },
    /// A request and what came of it.
    Http(Box<Exchange>),
    /// The run ended while this entity was at work: what it would have asked for next is not here.
    Stopped { entity: String },
    /// A WebSocket connection was wanted: at the start, or because `on_start_query` asked for it.
    Dial {
        entity: String,
        /// The values of its row of `on_start_query`; absent for an only connection.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        connection: String,
        url: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        subscribe: Vec<String>,
    },
    /// A WebSocket connection was made.
    Open {
        entity: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        connection: String,
    },
    /// A WebSocket message came.
    Frame {
        entity: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        connection: String,
        data: Content,
    },
    /// A WebSocket connection was lost.
    Close {
        entity: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        connection: String,
        /// When anything last came over it.
        #[serde(with = "instant")]
        last: DateTime<Utc>,
        reason: String,
    },
    /// A WebSocket connection could not be made.
    Refused {
        entity: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        connection: String,
        reason: String,
    },
    /// A Kafka message came.
    Message(Box<Message>),
    /// A `generate` source made rows.
    Rows { entity: String, count: u64 },
    /// The last line: the run ended in order.
    End {},
}

impl Event {
    /// Returns the entity it belongs to, if it belongs to one.
    pub fn entity(&self) -> Option<&str> {
        match self {
            Self::Begin { .. } | Self::End {} => None,
            Self::Http(exchange) => Some(&exchange.entity),
            Self::Message(message) => Some(&message.entity),
            Self::Cursor { entity, .. }
            | Self::Tick { entity, .. }
            | Self::Stopped { entity }
            | Self::Dial { entity, .. }
            | Self::Open { entity, .. }
            | Self::Frame { entity, .. }
            | Self::Close { entity, .. }
            | Self::Refused { entity, .. }
            | Self::Rows { entity, .. } => Some(entity),
        }
    }
}

/// A request and its response, or the error that came instead of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    pub entity: String,
    /// The trigger of the poll, or of the row that asked.
    #[serde(
        default,
        with = "maybe_instant",
        skip_serializing_if = "Option::is_none"
    )]
    pub due: Option<DateTime<Utc>>,
    pub request: Request,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Broken>,
}

/// What was asked for. Headers are kept for people only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
}

/// What was answered; a compressed body is kept unpacked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    pub body: Content,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    pub message: String,
    /// Whether another attempt could help.
    pub again: bool,
}

/// A message of a Kafka topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub entity: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, and whether the producer or the broker gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<(String, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Option<Content>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Content>,
    /// Absent for a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Content>,
}

/// Instants as RFC 3339, to the microsecond, which is what the engine keeps.
mod instant {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        instant: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&instant.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(instant.to_utc())
    }
}

/// As [`instant`], where there may be none.
mod maybe_instant {
    use chrono::{DateTime, Utc};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        instant: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => super::instant::serialize(instant, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        super::instant::deserialize(deserializer).map(Some)
    }
}
