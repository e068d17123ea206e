//! Sends the requests of one entity: authenticated, within its limits, retried, along redirects.
//!
//! Credentials stay with the origin of `url`: a redirect or a next link to another one is an error as
//! soon as the entity has `auth.*`, a secret parameter, or a header that may be a credential.

use std::borrow::Cow;
use std::time::Duration;

use ureq::http::{Method, header};
use url::Url;

use super::auth::Auth;
use super::rate_limit::{Rate, RateLimit};
use super::request::{Request, RequestTemplate, Role};
use super::retry::RetryPolicy;
use super::shown::Mask;
use super::wire::{Answer, Attempt, Failure, Response, Wire, WireLimits, read_certificates};
use crate::batch::Column;
use crate::connector::Context;
use crate::diagnostic::Diagnostic;
use crate::options::Options;
use crate::secret::Secret;

/// A chain of redirects longer than this is a loop, or as good as one.
const REDIRECTS_MAX: usize = 5;

/// What the caller of [`Client::send`] wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub answer: Answer,
    /// Statuses besides 2xx that are an answer, such as 304 to a conditional request.
    pub statuses: &'static [u16],
}

/// The client of one entity. Shared by all its threads.
#[derive(Debug)]
pub(super) struct Client {
    wire: Wire,
    auth: Auth,
    base: Url,
    /// Whether a request carries what another origin must not see.
    private: bool,
}

impl Client {
    /// Takes the options of the request and those of the connection, `concurrency` requests at a time.
    pub fn take(
        options: &mut Options<'_>,
        declared: &[Column],
        role: Role,
        concurrency: usize,
    ) -> Option<(Self, RequestTemplate)> {
        let mut mask = Mask::default();
        let template = RequestTemplate::take(options, declared, role, &mut mask);
        let auth = Auth::take(options, &mut mask);
        let retry = RetryPolicy::take(options);
        let limits = take_limits(options, concurrency);
        refuse_above(
            options,
            ("retry.initial_backoff", retry.initial_backoff),
            ("retry.max_backoff", retry.max_backoff),
        );
        refuse_above(
            options,
            ("connect_timeout", limits.connect_timeout),
            ("timeout", limits.timeout),
        );
        let rate = Rate::take(options);
        let roots = options.text("tls.ca").map_or_else(Vec::new, |path| {
            read_certificates(path.expose().trim()).unwrap_or_else(|error| {
                let message = format!("`tls.ca` cannot be used: {error}");
                options.fault(Diagnostic::new(path.span, message).label("expected a PEM file"));
                Vec::new()
            })
        });
        let template = template?;
        auth.refuse_doubled(&template, options);
        let base = template.base().clone();
        let mut wire = Wire::new(limits, rate.map(RateLimit::new), retry, (&base, roots));
        let private =
            !auth.is_none() || template.has_private_header() || !mask.param_names().is_empty();
        wire.mask = mask;
        let client = Self {
            wire,
            auth,
            base,
            private,
        };
        Some((client, template))
    }

    pub fn mask(&self) -> &Mask {
        &self.wire.mask
    }

    /// Returns `GET https://…` for a message, secrets masked.
    pub fn shown(&self, request: &Request) -> String {
        self.wire.shown(request)
    }

    /// Sends a request until an answer is accepted. What `accept` refuses counts as a failed attempt: a
    /// broken body is often whole the next time.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn send<T>(
        &self,
        request: &Request,
        wanted: Wanted,
        context: &Context,
        mut accept: impl FnMut(Response) -> anyhow::Result<T>,
    ) -> Result<T, Failure> {
        self.guard(request, &request.url)?;
        let mut unreadable = false;
        let sent = self.wire.repeat(context, || {
            unreadable = false;
            let response = self.attempt(request, wanted, context)?;
            accept(response).map_err(|error| {
                unreadable = true;
                Attempt::again(format!("{}: {error:#}", self.shown(request)))
            })
        });
        let sent = sent.map_err(|failure| match failure {
            Failure::Failed(message) if unreadable => Failure::Lasting(message),
            other => other,
        });
        if let (Err(Failure::Stopped), Some(recorder)) = (&sent, context.recorder()) {
            recorder.stopped(context.now(), context.entity());
        }
        sent
    }

    fn attempt(
        &self,
        request: &Request,
        wanted: Wanted,
        context: &Context,
    ) -> Result<Response, Attempt> {
        let mut current = Cow::Borrowed(request);
        let mut redirects = 0;
        let mut refused_token = None;
        loop {
            let (signed, token) = self.signed(&current, refused_token.as_ref(), context)?;
            let response = self.wire.exchange(&signed, wanted.answer, context)?;
            if response.is_success() || wanted.statuses.contains(&response.status) {
                return Ok(response);
            }
            if response.status == 401 && token.is_some() && refused_token.is_none() {
                refused_token = token;
                continue;
            }
            let Some(target) = self.redirect_target(&current, &response)? else {
                let refusal = self.wire.refusal(&signed, &response, context.now());
                return Err(refusal.without(token.as_ref().or(refused_token.as_ref())));
            };
            redirects += 1;
            if redirects > REDIRECTS_MAX {
                let message = format!(
                    "{}: more than {REDIRECTS_MAX} redirects",
                    self.shown(request)
                );
                return Err(Failure::Lasting(message).into());
            }
            let current = current.to_mut();
            if response.status == 303 {
                current.method = Method::GET;
                current.body = None;
                current
                    .headers
                    .retain(|(name, _)| *name != header::CONTENT_TYPE);
            }
            current.url = target;
        }
    }

    /// Returns the request with its authentication, and the token that is in it.
    fn signed<'r>(
        &self,
        request: &'r Request,
        refused: Option<&Secret>,
        context: &Context,
    ) -> Result<(Cow<'r, Request>, Option<Secret>), Attempt> {
        if self.auth.is_none() {
            return Ok((Cow::Borrowed(request), None));
        }
        let mut signed = request.clone();
        let mut token = None;
        let failed =
            |error: anyhow::Error| Failure::Failed(format!("{}: {error:#}", self.shown(request)));
        if let Auth::ClientCredentials(oauth) = &self.auth {
            let value = oauth.token(&self.wire, refused, context)?;
            let text = format!("Bearer {}", value.expose());
            signed
                .set_secret_header(header::AUTHORIZATION, &text)
                .map_err(failed)?;
            token = Some(value);
        }
        self.auth.sign(&mut signed, context.now()).map_err(failed)?;
        Ok((Cow::Owned(signed), token))
    }

    /// Returns where a redirect leads, or `None` if the answer is none that can be followed.
    fn redirect_target(
        &self,
        request: &Request,
        response: &Response,
    ) -> Result<Option<Url>, Failure> {
        let repeatable = request.method == Method::GET;
        let followed = match response.status {
            301 | 302 => repeatable,
            303 | 307 | 308 => true,
            _ => false,
        };
        let location = response.header(header::LOCATION).filter(|_| followed);
        let Some(target) = location.and_then(|location| response.url.join(location).ok()) else {
            return Ok(None);
        };
        self.guard(request, &target)?;
        Ok(Some(target))
    }

    /// Refuses to carry credentials, or a body, to another origin than that of `url`.
    fn guard(&self, request: &Request, target: &Url) -> Result<(), Failure> {
        let private = self.private || request.body.is_some();
        let of_http = ["http", "https"].contains(&target.scheme());
        if is_same_origin(&self.base, target) || (!private && of_http) {
            return Ok(());
        }
        if !of_http {
            let target = self.mask().shown_url(target);
            let message = format!("the next URL, {target}, is not one of HTTP: it is not followed");
            return Err(Failure::Lasting(message));
        }
        let message = format!(
            "the next URL, {}, leaves the origin of `url`, {}: credentials are not sent there",
            self.mask().shown_url(target),
            self.base.origin().ascii_serialization(),
        );
        Err(Failure::Lasting(message))
    }
}

/// Returns true for the same scheme, host and port, or for a step from http to https on one host at the
/// usual ports.
fn is_same_origin(base: &Url, target: &Url) -> bool {
    // The origin of an address of the web is its scheme, host and port (WHATWG URL), and `base` is one.
    base.host() == target.host()
        && match (base.scheme(), target.scheme()) {
            ("http", "https") => base.port().is_none() && target.port().is_none(),
            (one, other) => {
                one == other && base.port_or_known_default() == target.port_or_known_default()
            }
        }
}

/// Refuses a given duration that another one cuts, so that it never counts.
fn refuse_above(
    options: &mut Options<'_>,
    (key, value): (&str, Duration),
    (bound_key, bound): (&str, Duration),
) {
    let Some(place) = options.value_span(key).filter(|_| value > bound) else {
        return;
    };
    let message = format!("`{key}` ({value:?}) is above `{bound_key}` ({bound:?})");
    let fault = Diagnostic::new(place, message);
    let bound = options.value_span(bound_key);
    let fault = (bound.into_iter()).fold(fault, |fault, bound| fault.also(bound, "ends before"));
    options.fault(fault.help(format!("raise `{bound_key}`, or lower `{key}`")));
}

fn take_limits(options: &mut Options<'_>, concurrency: usize) -> WireLimits {
    let mut timeout = |key: &'static str, default: u64| {
        let taken = options.duration_above_zero(key);
        taken.unwrap_or(Duration::from_secs(default))
    };
    WireLimits {
        connect_timeout: timeout("connect_timeout", 10),
        timeout: timeout("timeout", 30),
        concurrency,
    }
}
