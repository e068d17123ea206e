//! Messages and schemas on a record: written down, or given again.
//!
//! Called by the source for messages, and by the registry's client in the place of the network or beside it.

use chrono::{DateTime, Utc};
use rdkafka::Timestamp;
use rdkafka::message::{Header, Headers as _, Message, OwnedHeaders, OwnedMessage};
use url::Url;

use crate::connector::{Context, Stopped};
use crate::record::{self, Asked, Broken, Content, Event, Exchange, Recorder};

/// Writes down messages that were received together.
pub(super) fn write<M: Message>(
    recorder: &Recorder,
    entity: &str,
    received_at: DateTime<Utc>,
    messages: &[M],
) {
    for message in messages {
        let content = |bytes: &[u8]| recorder.content(bytes);
        let headers = message.headers().map(|headers| {
            let headers = headers.iter();
            headers.map(|header| {
                let name = recorder.text(header.key);
                (name, header.value.map(content))
            })
        });
        let line = record::Message {
            entity: entity.to_owned(),
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(millis) => Some((CREATE.to_owned(), millis)),
                Timestamp::LogAppendTime(millis) => Some((APPEND.to_owned(), millis)),
            },
            headers: headers.map(Iterator::collect).unwrap_or_default(),
            key: message.key().map(content),
            value: message.payload().map(content),
        };
        recorder.write(received_at, Event::Message(Box::new(line)));
    }
}

/// Who gave a message its timestamp.
const CREATE: &str = "create";
const APPEND: &str = "append";

/// Returns a recorded message as the client would have given it.
///
/// # Errors
/// Base64 that is none.
pub(super) fn message(line: record::Message) -> anyhow::Result<OwnedMessage> {
    let bytes = |content: Option<Content>| content.map(|content| content.bytes()).transpose();
    let mut headers = (!line.headers.is_empty()).then(OwnedHeaders::new);
    for (key, value) in line.headers {
        let value = bytes(value)?;
        headers = headers.map(|headers| {
            headers.insert(Header {
                key: &key,
                value: value.as_ref(),
            })
        });
    }
    let timestamp = match line.timestamp {
        None => Timestamp::NotAvailable,
        Some((kind, millis)) if kind == APPEND => Timestamp::LogAppendTime(millis),
        Some((_, millis)) => Timestamp::CreateTime(millis),
    };
    Ok(OwnedMessage::new(
        bytes(line.value)?,
        bytes(line.key)?,
        line.topic,
        timestamp,
        line.partition,
        line.offset,
        headers,
    ))
}

/// Asks a schema registry by `fetch`, which a run that is recorded writes down; a run that plays a record
/// has the answer from there.
///
/// # Errors
/// That of `fetch`, or that the record lacks the answer, which ends the call as a stop would.
pub(super) fn exchange(
    url: &Url,
    context: &Context,
    fetch: impl FnOnce() -> anyhow::Result<(u16, String)>,
) -> anyhow::Result<(u16, String)> {
    if let Some(player) = context.player() {
        let asked = Asked {
            entity: context.entity(),
            due: None,
            method: "GET",
            url: &player.url(url.as_str()),
            body: None,
        };
        let Some(exchange) = player.exchange(&asked)? else {
            return Err(Stopped.into());
        };
        return match (exchange.response, exchange.error) {
            (Some(response), _) => {
                let body = String::from_utf8(response.body.bytes()?)?;
                Ok((response.status, body))
            }
            (None, Some(error)) => Err(anyhow::Error::msg(error.message)),
            (None, None) => anyhow::bail!("the record has neither a response nor an error"),
        };
    }
    let asked_at = context.now();
    let answer = fetch();
    if let Some(recorder) = context.recorder() {
        let (response, error) = match &answer {
            Ok((status, body)) => {
                let response = record::Response {
                    status: *status,
                    headers: Vec::new(),
                    body: recorder.content(body.as_bytes()),
                };
                (Some(response), None)
            }
            Err(error) => {
                let message = recorder.text(&format!("{error:#}"));
                let again = true;
                (None, Some(Broken { message, again }))
            }
        };
        let exchange = Exchange {
            entity: context.entity().to_owned(),
            due: None,
            request: record::Request {
                method: "GET".to_owned(),
                url: recorder.url(url.as_str()),
                headers: Vec::new(),
                body: None,
            },
            response,
            error,
        };
        recorder.write(asked_at, Event::Http(Box::new(exchange)));
    }
    answer
}
