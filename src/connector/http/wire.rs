//! One exchange over the network, and the loop that repeats it.
//!
//! Knows nothing of authentication, redirects or rows: [`super::client`] adds the first two, its callers
//! the last. Called with blocking calls; stops between chunks of a body and between attempts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ureq::http::{self, HeaderMap, Method, header};
use ureq::tls::{Certificate, PemItem};
use url::Url;

use super::rate_limit::RateLimit;
use super::request::Request;
use super::retry::{RetryPolicy, parse_retry_after};
use super::shown::Mask;
use super::tape::{self, BodyScrub};
use crate::buffer::Buffer;
use crate::connector::agents::{AgentLimits, Agents};
use crate::connector::authorities::{pem_fault, tls_fault};
use crate::connector::context::Stopped;
use crate::connector::{Context, Event};
use crate::record::Tape;
use crate::secret::Secret;

/// An answer that is only looked at for a message, or not at all, is read no further than this.
const IGNORED_BYTES_MAX: u64 = 64 * 1024;

/// A received answer.
pub(super) struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Buffer,
    /// Where it came from, after redirects.
    pub url: Url,
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns a header's text, if there is one that is text.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What is done with the body of a successful answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is wanted whole; one of more bytes is an error.
    Whole {
        bytes_max: u64,
    },
    Ignored,
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Stopped,
    /// The other side answered with a status that is not retried.
    Refused {
        status: u16,
        message: String,
    },
    /// The same request would come to the same, now and later: its answer is too large or cannot be read, or leads
    /// where it must not.
    Lasting(String),
    /// No answer, after the last attempt; there may be one later.
    Failed(String),
}

impl Failure {
    /// Returns it as the runtime wants it: the end of a stop stays recognisable as [`Stopped`].
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Stopped => Stopped.into(),
            Self::Refused { message, .. } | Self::Lasting(message) | Self::Failed(message) => {
                anyhow::Error::msg(message)
            }
        }
    }
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Why one attempt failed.
pub(super) enum Attempt {
    /// Another one may help.
    Again {
        message: String,
        retry_after: Option<Duration>,
    },
    Final(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

impl From<Stopped> for Attempt {
    fn from(_: Stopped) -> Self {
        Self::Final(Failure::Stopped)
    }
}

impl Attempt {
    pub fn again(message: impl Into<String>) -> Self {
        Self::Again {
            message: message.into(),
            retry_after: None,
        }
    }

    /// Hides a secret that is not in the [`Mask`] because it came later, such as a token.
    pub fn without(mut self, secret: Option<&Secret>) -> Self {
        if let Some(secret) = secret.filter(|secret| !secret.expose().is_empty()) {
            match &mut self {
                Self::Again { message, .. } | Self::Final(Failure::Refused { message, .. }) => {
                    *message = message.replace(secret.expose(), "***");
                }
                Self::Final(_) => {}
            }
        }
        self
    }
}

/// How connections are made.
#[derive(Clone, Debug)]
pub(super) struct WireLimits {
    pub connect_timeout: Duration,
    /// Of one exchange, from the connection to the last byte of the body.
    pub timeout: Duration,
    /// Requests at a time: as many idle connections are kept.
    pub concurrency: usize,
}

/// The connections of one entity, with its limits. Shared by all its threads.
pub(super) struct Wire {
    agents: Agents,
    limits: WireLimits,
    rate_limit: Option<RateLimit>,
    pub retry: RetryPolicy,
    pub mask: Mask,
}

/// Shows the limits only.
impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Wire")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Makes the connections' keeper, for requests to `base` and where they lead. `extra_roots` are trusted
    /// besides the system's authorities.
    pub fn new(
        limits: WireLimits,
        rate_limit: Option<RateLimit>,
        retry: RetryPolicy,
        (base, extra_roots): (&Url, Vec<Certificate<'static>>),
    ) -> Self {
        let of_agents = AgentLimits {
            connect_timeout: limits.connect_timeout,
            timeout: limits.timeout,
            idle_connections: limits.concurrency,
        };
        Self {
            agents: Agents::new(base, of_agents, extra_roots),
            limits,
            rate_limit,
            retry,
            mask: Mask::default(),
        }
    }

    /// Makes attempts until one succeeds, another cannot help, or `retry.max_attempts` is reached.
    pub fn repeat<T>(
        &self,
        context: &Context,
        mut attempt: impl FnMut() -> Result<T, Attempt>,
    ) -> Result<T, Failure> {
        let mut number = 1;
        loop {
            context.stop.check()?;
            let (message, retry_after) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Attempt::Final(failure)) => return Err(failure),
                Err(Attempt::Again {
                    message,
                    retry_after,
                }) => (self.mask.text(&message), retry_after),
            };
            if number >= self.retry.attempts_max {
                let message = match number {
                    1 => message,
                    _ => format!("{message} (attempt {number} of {number})"),
                };
                return Err(Failure::Failed(message));
            }
            let pause = self.retry.pause(number, retry_after);
            context.report(Event::Retry {
                attempt: number,
                pause,
                error: message,
            });
            context.pause(pause)?;
            number += 1;
        }
    }

    /// Sends a request as it is and receives the answer, whatever its status. A run that is recorded keeps
    /// both; one that plays a record has the answer from there.
    pub fn exchange(
        &self,
        request: &Request,
        answer: Answer,
        context: &Context,
    ) -> Result<Response, Attempt> {
        self.exchange_scrubbed(request, answer, context, &|_, _| None)
    }

    /// As [`Wire::exchange`]; what `scrub` makes of a body is recorded in its place.
    pub fn exchange_scrubbed(
        &self,
        request: &Request,
        answer: Answer,
        context: &Context,
        scrub: &BodyScrub<'_>,
    ) -> Result<Response, Attempt> {
        match context.tape() {
            None => self.exchange_live(request, answer, context),
            Some(Tape::Player(player)) => tape::replay(player, (request, &self.mask), context),
            Some(Tape::Recorder(recorder)) => {
                let asked_at = context.now();
                let outcome = self.exchange_live(request, answer, context);
                let recording = tape::Recording {
                    recorder,
                    mask: &self.mask,
                    context,
                    scrub,
                };
                recording.write(asked_at, request, &outcome);
                outcome
            }
        }
    }

    fn exchange_live(
        &self,
        request: &Request,
        answer: Answer,
        context: &Context,
    ) -> Result<Response, Attempt> {
        if let Some(rate_limit) = &self.rate_limit {
            rate_limit.wait(&context.stop)?;
        }
        context.report(Event::Request);
        let mut response = self
            .start(request)
            .map_err(|error| self.failed(request, error))?;
        let status = response.status().as_u16();
        let success = response.status().is_success();
        let (read_max, whole) = match answer {
            Answer::Whole { bytes_max } if success => (bytes_max, true),
            _ => (IGNORED_BYTES_MAX, false),
        };
        // What is announced is only reserved.
        let announced = response.body().content_length().unwrap_or(0).min(read_max);
        let in_memory = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut body = Buffer::new(in_memory(announced), in_memory(read_max));
        let mut reader = response.body_mut().with_config().limit(read_max).reader();
        loop {
            context.stop.check()?;
            match body.read_from(&mut reader) {
                Ok(0) => break,
                Ok(_) => {}
                // What is not wanted whole is good enough as far as it could be read.
                Err(_) if !whole => break,
                Err(error) => return Err(self.failed(request, ureq::Error::from(error))),
            }
        }
        let moved = match answer {
            Answer::Whole { .. } => body.len(),
            Answer::Ignored => request.body.as_ref().map_or(0, Vec::len),
        };
        context.report(Event::Bytes(moved as u64));
        Ok(Response {
            status,
            headers: response.into_parts().0.headers,
            body,
            url: request.url.clone(),
        })
    }

    fn start(&self, request: &Request) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(request.url.as_str());
        if let Some(headers) = builder.headers_mut() {
            headers.extend(request.headers.iter().cloned());
        }
        let agent = self.agents.of(&request.url);
        match &request.body {
            // The protocol allows a body here, if asked for (RFC 9110, section 9.3.5).
            Some(body) if request.method == Method::DELETE => {
                let mut delete = agent.delete(request.url.as_str());
                if let Some(headers) = delete.headers_mut() {
                    headers.extend(request.headers.iter().cloned());
                }
                delete.force_send_body().send(body.as_slice())
            }
            Some(body) => agent.run(builder.body(body.as_slice())?),
            None if matches!(request.method, Method::GET | Method::DELETE) => {
                agent.run(builder.body(())?)
            }
            None => agent.run(builder.body([].as_slice())?),
        }
    }

    /// Returns `GET https://…` for a message.
    pub fn shown(&self, request: &Request) -> String {
        format!("{} {}", request.method, self.mask.shown_url(&request.url))
    }

    fn failed(&self, request: &Request, error: ureq::Error) -> Attempt {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs_f64());
        let (what, again) = match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                let limit = self.limits.connect_timeout.min(self.limits.timeout);
                (format!("no connection within {}", seconds(limit)), true)
            }
            ureq::Error::Timeout(_) => (
                format!("no complete answer within {}", seconds(self.limits.timeout)),
                true,
            ),
            ureq::Error::BodyExceedsLimit(bytes_max) => (
                format!("the body is larger than `max_body_bytes` ({bytes_max} bytes)"),
                false,
            ),
            ureq::Error::HostNotFound => ("the host has no address".to_owned(), true),
            ureq::Error::Decompress(kind, error) => {
                (format!("the {kind} body is broken: {error}"), true)
            }
            ureq::Error::Io(error) => {
                let error = tls_fault(error.to_string());
                (format!("the connection failed: {error}"), true)
            }
            // These say that the request itself cannot be sent, or will never be answered otherwise.
            ureq::Error::Http(_)
            | ureq::Error::BadUri(_)
            | ureq::Error::InvalidProxyUrl
            | ureq::Error::LargeResponseHeader(..) => (error.to_string(), false),
            other => (tls_fault(other.to_string()), true),
        };
        let message = self.mask.text(&format!("{}: {what}", self.shown(request)));
        match again {
            true => Attempt::again(message),
            false => Attempt::Final(Failure::Lasting(message)),
        }
    }

    /// Turns a status that is no success into an error: to be tried again if it is one of
    /// `retry.codes`. `now` is what a date in `Retry-After` is counted from.
    pub fn refusal(&self, request: &Request, response: &Response, now: DateTime<Utc>) -> Attempt {
        let reason = http::StatusCode::from_u16(response.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let mut message = format!(
            "{}: status {} {reason}",
            self.shown(request),
            response.status
        );
        let snippet = match self.moved(request, response) {
            Some(advice) => advice,
            None => super::shown::snippet(&response.body),
        };
        if !snippet.is_empty() {
            message.push_str(": ");
            message.push_str(&snippet);
        }
        let message = self.mask.text(message.trim_end());
        if !self.retry.codes.contains(&response.status) {
            return Attempt::Final(Failure::Refused {
                status: response.status,
                message,
            });
        }
        let retry_after = response.header(header::RETRY_AFTER);
        Attempt::Again {
            message,
            retry_after: retry_after.and_then(|text| parse_retry_after(text, now)),
        }
    }
}

impl Wire {
    /// Returns what is said of a redirect, which is not followed if its status is made an error.
    fn moved(&self, request: &Request, response: &Response) -> Option<String> {
        let location = (300..400).contains(&response.status);
        let location = response.header(header::LOCATION).filter(|_| location)?;
        let target = response.url.join(location).ok()?;
        Some(format!(
            "the address has moved to {}, which a {} does not follow; write the new address in `url`",
            self.mask.shown_url(&target),
            request.method,
        ))
    }
}

/// Returns the certificates of a PEM file.
///
/// # Errors
/// A file that cannot be read, or holds no certificate.
pub(super) fn read_certificates(path: &str) -> anyhow::Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path)?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(ureq::Error::Pem(error)) => anyhow::bail!(pem_fault(&error)),
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::ensure!(!certificates.is_empty(), "it holds no PEM certificate");
    Ok(certificates)
}
