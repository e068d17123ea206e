//! Exchanges on a record: what was asked and answered, written down or given again.
//!
//! Called by [`super::wire`] in the place of the network, or beside it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::request::Request;
use super::shown::Mask;
use super::wire::{Attempt, Failure, Response};
use crate::connector::{Context, Event};
use crate::record::{self, Asked, Broken, Exchange, Player, Recorder};
use crate::secret::Secret;

/// Returns what is recorded in the place of a body, if not the body itself.
pub(super) type BodyScrub<'s> = dyn Fn(&Recorder, &[u8]) -> Option<Vec<u8>> + 's;

/// How an exchange is written down.
pub(super) struct Recording<'r> {
    pub recorder: &'r Recorder,
    pub mask: &'r Mask,
    pub context: &'r Context,
    pub scrub: &'r BodyScrub<'r>,
}

impl Recording<'_> {
    /// Writes an exchange that was begun at an instant; one that a stop has interrupted is none.
    pub fn write(
        &self,
        asked_at: DateTime<Utc>,
        request: &Request,
        outcome: &Result<Response, Attempt>,
    ) {
        self.recorder.hide(self.mask.values());
        let (response, error) = match outcome {
            Ok(response) => (Some(self.response(response, &self.once(request))), None),
            Err(Attempt::Again { message, .. }) => (None, Some(self.broken(message, true))),
            Err(Attempt::Final(Failure::Stopped)) => return,
            Err(Attempt::Final(
                Failure::Failed(message)
                | Failure::Lasting(message)
                | Failure::Refused { message, .. },
            )) => (None, Some(self.broken(message, false))),
        };
        let exchange = Exchange {
            entity: self.context.entity().to_owned(),
            due: self.context.due(),
            request: self.request(request),
            response,
            error,
        };
        let event = record::Event::Http(Box::new(exchange));
        self.recorder.write(asked_at, event);
    }

    fn request(&self, request: &Request) -> record::Request {
        let recorder = self.recorder;
        let headers = request.headers.iter().map(|(name, value)| {
            let value = match value.is_sensitive() {
                true => "***".to_owned(),
                false => recorder.sent_header(name.as_str(), &text_of(value)),
            };
            (name.to_string(), value)
        });
        record::Request {
            method: request.method.to_string(),
            url: recorder.text(&self.mask.shown_url(&request.url)),
            headers: headers.collect(),
            body: request.body.as_ref().map(|body| recorder.content(body)),
        }
    }

    /// Returns what only this request proves itself with. An instant among it is none: it is a number that
    /// may stand in an answer for itself.
    fn once(&self, request: &Request) -> Vec<Secret> {
        let sensitive = request
            .headers
            .iter()
            .filter(|(_, value)| value.is_sensitive());
        let headers = sensitive.map(|(_, value)| text_of(value));
        let names = self.mask.param_names();
        let params = (request.url.query_pairs())
            .filter(|(name, _)| names.iter().any(|hidden| hidden == name))
            .map(|(_, value)| value.into_owned());
        let proofs = headers.chain(params);
        let proofs = proofs.filter(|proof| !proof.bytes().all(|byte| byte.is_ascii_digit()));
        proofs.map(Secret::new).collect()
    }

    fn response(&self, response: &Response, once: &[Secret]) -> record::Response {
        let recorder = self.recorder;
        let scrubbed = (self.scrub)(recorder, &response.body);
        let headers = response.headers.iter().map(|(name, value)| {
            let value = recorder.received_header(name.as_str(), &text_of(value), once);
            (name.to_string(), value)
        });
        record::Response {
            status: response.status,
            headers: headers.collect(),
            body: recorder.content_without(scrubbed.as_deref().unwrap_or(&response.body), once),
        }
    }

    fn broken(&self, message: &str, again: bool) -> Broken {
        let message = self.recorder.text(message);
        Broken { message, again }
    }
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Returns what a record answers to a request. One that it lacks ends the call as a stop would; the player
/// tells it to whoever drives the run.
pub(super) fn replay(
    player: &Arc<Player>,
    (request, mask): (&Request, &Mask),
    context: &Context,
) -> Result<Response, Attempt> {
    context.report(Event::Request);
    player.hide(mask.values());
    let failed = |error: anyhow::Error| Attempt::Final(Failure::Failed(format!("{error:#}")));
    let url = mask.shown_url(&request.url);
    let asked = Asked {
        entity: context.entity(),
        due: context.due(),
        method: request.method.as_str(),
        url: &url,
        body: request.body.as_deref(),
    };
    let Some(exchange) = player.exchange(&asked).map_err(failed)? else {
        return Err(Attempt::Final(Failure::Stopped));
    };
    let Some(response) = exchange.response else {
        let broken = exchange.error.unwrap_or(Broken {
            message: "the record has neither a response nor an error".to_owned(),
            again: false,
        });
        return Err(match broken.again {
            true => Attempt::again(broken.message),
            false => Attempt::Final(Failure::Lasting(broken.message)),
        });
    };
    let body = response.body.bytes().map_err(failed)?;
    context.report(Event::Bytes(body.len() as u64));
    let mut headers = HeaderMap::new();
    for (name, value) in &response.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    Ok(Response {
        status: response.status,
        headers,
        body: body.into(),
        url: request.url.clone(),
    })
}
