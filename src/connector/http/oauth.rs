//! `auth.type = 'oauth2'`: the client credentials grant of RFC 6749, section 4.4.
//!
//! Options: `auth.token_url`, `auth.client_id`, `auth.client_secret`, `auth.scope`, `auth.audience`, and
//! `auth.client_auth` = `basic` (default; the `Authorization` header, RFC 6749, section 2.3.1) or `body`
//! (form fields). The token is kept until 30 seconds before it expires; one without `expires_in` is kept
//! until it is refused. One thread asks, the others wait for its answer.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use ureq::http::{HeaderValue, Method, header};
use url::Url;

use super::auth::take_secret;
use super::encoding::{base64, percent};
use super::request::Request;
use super::shown::{Mask, snippet};
use super::wire::{Answer, Attempt, Failure, Wire};
use crate::connector::Context;
use crate::diagnostic::Diagnostic;
use crate::options::Options;
use crate::record::Recorder;
use crate::secret::Secret;

/// A token is renewed this long before it expires: longer than a request and its first retries take.
const RENEWAL_MARGIN: Duration = Duration::from_secs(30);

/// No token answer is larger.
const TOKEN_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// The `auth.` options of this type, and the token in use.
pub(super) struct OAuth {
    token_url: Url,
    client_id: String,
    client_secret: Secret,
    fields: Vec<(&'static str, String)>,
    in_body: bool,
    token: Mutex<Option<Token>>,
}

struct Token {
    value: Secret,
    renew_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OAuth")
    }
}

impl OAuth {
    pub fn take(options: &mut Options<'_>, mask: &mut Mask) -> Option<Self> {
        let token_url = options.required_text("auth.token_url").and_then(|text| {
            let url = Url::parse(text.expose()).ok();
            let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
            if url.is_none() {
                let fault = Diagnostic::new(text.span, "`auth.token_url` is not a URL");
                options.fault(fault.help("write `https://…`"));
            }
            url
        });
        let client_id = options.required_text("auth.client_id");
        let client_secret = take_secret(options, "auth.client_secret", mask);
        let scope = options
            .text("auth.scope")
            .map(|text| ("scope", text.expose().to_owned()));
        let audience = options
            .text("auth.audience")
            .map(|text| ("audience", text.expose().to_owned()));
        let in_body = options.one_of("auth.client_auth", &[("basic", false), ("body", true)]);
        Some(Self {
            token_url: token_url?,
            client_id: client_id?.expose().to_owned(),
            client_secret: client_secret?,
            fields: scope.into_iter().chain(audience).collect(),
            in_body: in_body.unwrap_or(false),
            token: Mutex::new(None),
        })
    }

    /// Returns the token in use, or asks for one. `stale` is a token that was refused.
    pub fn token(
        &self,
        wire: &Wire,
        stale: Option<&Secret>,
        context: &Context,
    ) -> Result<Secret, Failure> {
        // Held while asking: the other threads need the very answer that is on its way.
        let mut kept = self
            .token
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(token) = &*kept {
            let fresh = token
                .renew_at
                .is_none_or(|renew_at| context.now() < renew_at);
            if fresh && stale != Some(&token.value) {
                return Ok(token.value.clone());
            }
        }
        let old = kept.take();
        let token = match (wire.repeat(context, || self.ask(wire, context)), old) {
            (Ok(token), _) => token,
            (Err(Failure::Stopped), Some(old)) if stale.is_none() && lacked(context) => old,
            (Err(failure), _) => return Err(failure),
        };
        let value = token.value.clone();
        *kept = Some(token);
        Ok(value)
    }

    fn ask(&self, wire: &Wire, context: &Context) -> Result<Token, Attempt> {
        let request = self.request()?;
        let answer = Answer::Whole {
            bytes_max: TOKEN_BODY_BYTES_MAX,
        };
        let asked_at = context.now();
        let response = wire.exchange_scrubbed(&request, answer, context, &without_tokens)?;
        // A record that is played puts the clock to the instant at which it was asked then.
        let asked_at = context.player().map_or(asked_at, |_| context.now());
        if !response.is_success() {
            return Err(wire.refusal(&request, &response, context.now()));
        }
        let body: Value = serde_json::from_slice(&response.body).map_err(|error| {
            Attempt::again(format!(
                "{}: the token answer is not JSON: {error}",
                wire.shown(&request)
            ))
        })?;
        let Some(token) = body.get("access_token").and_then(Value::as_str) else {
            // An `error` member explains itself; anything else could be a token under another name.
            let error = body
                .get("error")
                .map(|error| snippet(error.to_string().as_bytes()));
            let error = error.unwrap_or_else(|| "it has no `access_token`".to_owned());
            return Err(Attempt::again(format!(
                "{}: no token: {error}",
                wire.shown(&request)
            )));
        };
        let seconds = body.get("expires_in").and_then(|seconds| match seconds {
            Value::String(text) => text.parse().ok(),
            number => number.as_f64(),
        });
        let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let kept = lifetime.map(|lifetime| lifetime.saturating_sub(RENEWAL_MARGIN));
        let kept = kept.and_then(|kept| TimeDelta::from_std(kept).ok());
        Ok(Token {
            value: Secret::new(token),
            renew_at: kept.and_then(|kept| asked_at.checked_add_signed(kept)),
        })
    }

    fn request(&self) -> Result<Request, Attempt> {
        let mut form = "grant_type=client_credentials".to_owned();
        let mut add = |name: &str, value: &str| {
            form.push_str(&format!("&{name}={}", percent(value)));
        };
        for (name, value) in &self.fields {
            add(name, value);
        }
        if self.in_body {
            add("client_id", &self.client_id);
            add("client_secret", self.client_secret.expose());
        }
        let mut request = Request {
            method: Method::POST,
            url: self.token_url.clone(),
            headers: Vec::new(),
            body: Some(form.into_bytes()),
        };
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.set_header(header::CONTENT_TYPE, kind);
        request.set_header(header::ACCEPT, HeaderValue::from_static("application/json"));
        if !self.in_body {
            let pair = format!(
                "{}:{}",
                percent(&self.client_id),
                percent(self.client_secret.expose())
            );
            let value = format!("Basic {}", base64(pair.as_bytes()));
            request
                .set_secret_header(header::AUTHORIZATION, &value)
                .map_err(|error| Failure::Failed(error.to_string()))?;
        }
        Ok(request)
    }
}

/// Says whether a record that is played has no answer to the last request. Its clock is a little behind that
/// of the run, so that a renewal may fall one poll later than it was recorded.
fn lacked(context: &Context) -> bool {
    let lack = context.player().and_then(|player| player.take_lack());
    lack.is_some()
}

/// Returns the body of a token answer as it may be recorded, and hides its tokens from now on.
fn without_tokens(recorder: &Recorder, body: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    for (name, value) in answer.as_object_mut()? {
        if name.ends_with("token")
            && let Value::String(token) = value
        {
            recorder.hide([&Secret::new(token.as_str())]);
            *token = "***".to_owned();
        }
    }
    Some(answer.to_string().into_bytes())
}
