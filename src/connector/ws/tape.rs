//! Writes down what the connections of a source bring.
//!
//! Called by the reader and by the connections as things happen, on their threads; each line is one write.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::address::Address;
use super::options::WsOptions;
use crate::record::{Event, Recorder};
use crate::secret::{Secret, sounds_secret};

/// Returns the headers' values that are credentials.
pub(super) fn credentials(options: &WsOptions) -> Vec<Secret> {
    let headers = options.headers.iter();
    let secret = headers.filter(|(name, value)| value.secret || sounds_secret(name));
    secret
        .map(|(_, value)| Secret::new(value.expose()))
        .collect()
}

/// The recorder with the name of the source.
pub(super) struct Taping {
    recorder: Arc<Recorder>,
    entity: String,
}

impl Taping {
    pub fn new(recorder: &Arc<Recorder>, entity: &str, options: &WsOptions) -> Self {
        recorder.hide(&credentials(options));
        Self {
            recorder: Arc::clone(recorder),
            entity: entity.to_owned(),
        }
    }

    fn connection(&self, label: &str) -> (String, String) {
        (self.entity.clone(), self.recorder.text(label))
    }

    /// A connection is wanted.
    pub fn dial(&self, address: &Address, options: &WsOptions) {
        let (entity, connection) = self.connection(&address.label);
        let subscribe = options.subscribe.iter();
        let event = Event::Dial {
            entity,
            connection,
            url: self.recorder.url(address.url.expose()),
            subscribe: subscribe
                .map(|text| self.recorder.text(text.expose()))
                .collect(),
        };
        self.recorder.write(Utc::now(), event);
    }

    pub fn open(&self, label: &str) {
        let (entity, connection) = self.connection(label);
        self.recorder
            .write(Utc::now(), Event::Open { entity, connection });
    }

    pub fn frame(&self, label: &str, message: &[u8]) {
        let (entity, connection) = self.connection(label);
        let event = Event::Frame {
            entity,
            connection,
            data: self.recorder.content(message),
        };
        self.recorder.write(Utc::now(), event);
    }

    /// A connection was lost; nothing has come over it since `last`.
    pub fn close(&self, label: &str, last: DateTime<Utc>, reason: &str) {
        let (entity, connection) = self.connection(label);
        let event = Event::Close {
            entity,
            connection,
            last,
            reason: self.recorder.text(reason),
        };
        self.recorder.write(Utc::now(), event);
    }

    /// A connection could not be made.
    pub fn refused(&self, label: &str, reason: &str) {
        let (entity, connection) = self.connection(label);
        let event = Event::Refused {
            entity,
            connection,
            reason: self.recorder.text(reason),
        };
        self.recorder.write(Utc::now(), event);
    }
}
