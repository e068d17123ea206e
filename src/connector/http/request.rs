//! Requests: the template that the options describe, and one request made of it.
//!
//! Knows nothing of sending. A `$param` is escaped for the place it lands in: percent-encoded in the
//! path and the query of the URL, JSON-escaped in a body, and refused in a header if it holds a control
//! character.

use std::fmt;

use anyhow::{Context as _, bail};
use serde_json::Value;
use ureq::http::{HeaderName, HeaderValue, Method, header};
use url::Url;

use super::body::{Body, Escape, or_faults};
use super::encoding::percent;
use super::shown::Mask;
use super::template::Template;
use crate::batch::Column;
use crate::diagnostic::{Diagnostic, Span};
use crate::options::{Options, Text};
use crate::secret::Secret;

/// Headers that the client computes; a given one could contradict what is sent.
const OWN_HEADERS: &[HeaderName] = &[
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TRANSFER_ENCODING,
];

/// Headers that may go to another origin; any other one may hold a credential.
const HARMLESS_HEADERS: &[HeaderName] = &[
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
];

/// One request, ready but for its authentication.
#[derive(Clone)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<Vec<u8>>,
}

/// Shows the method and the origin only.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {}",
            self.method,
            self.url.origin().ascii_serialization()
        )
    }
}

impl Request {
    /// Sets a query parameter: replaces the first of that name, or adds it at the end.
    pub fn set_param(&mut self, name: &str, value: &str) {
        let (name, pair) = (
            percent(name),
            format!("{}={}", percent(name), percent(value)),
        );
        let mut pairs = query_pairs(&self.url);
        match pairs.iter_mut().find(|pair| pair_name(pair) == name) {
            Some(found) => *found = pair,
            None => pairs.push(pair),
        }
        self.url.set_query(Some(&pairs.join("&")));
    }

    /// Adds a query parameter at the end, unless one of that name is there.
    pub fn add_param(&mut self, name: &str, value: &str) {
        if !self.has_param(name) {
            self.set_param(name, value);
        }
    }

    /// Says whether the URL has a query parameter of that name.
    pub fn has_param(&self, name: &str) -> bool {
        self.url.query_pairs().any(|(known, _)| known == name)
    }

    /// Sets a header in the place of one of the same name.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }

    /// Sets a header to a text that must not be shown.
    ///
    /// # Errors
    /// The text holds control characters.
    pub fn set_secret_header(&mut self, name: HeaderName, value: &str) -> anyhow::Result<()> {
        let mut header = HeaderValue::from_str(value).map_err(|_| {
            anyhow::anyhow!("the value of header `{name}` holds a control character")
        })?;
        header.set_sensitive(true);
        self.set_header(name, header);
        Ok(())
    }
}

fn query_pairs(url: &Url) -> Vec<String> {
    let query = url.query().filter(|query| !query.is_empty());
    query
        .map(|query| query.split('&').map(str::to_owned).collect())
        .unwrap_or_default()
}

fn pair_name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Removes the query parameters of the given names.
pub(super) fn remove_params(url: &mut Url, names: &[String]) {
    let count = query_pairs(url).len();
    let mut pairs = query_pairs(url);
    pairs.retain(|pair| {
        let plain = percent_encoding::percent_decode_str(pair_name(pair)).decode_utf8_lossy();
        !names.iter().any(|name| *name == plain)
    });
    if pairs.len() < count {
        let query = pairs.join("&");
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }
}

/// What the request options say; filled in by [`RequestTemplate::bind`].
#[derive(Debug)]
pub(super) struct RequestTemplate {
    pub method: Method,
    url: UrlTemplate,
    params: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Body>,
}

/// What a request is for: it decides the method's default and whether a body can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Polls and lookups: `GET` by default.
    Read,
    /// Sinks: `POST` by default, the body comes from the rows.
    Write,
}

impl RequestTemplate {
    /// Takes `url`, `method`, `headers.*`, `params.*`, and for reading `json.*` and `body`. Secrets among
    /// them are added to the mask.
    pub fn take(
        options: &mut Options<'_>,
        declared: &[Column],
        role: Role,
        mask: &mut Mask,
    ) -> Option<Self> {
        let url_text = options.required_text("url");
        if url_text.as_ref().is_some_and(|text| text.secret) {
            mask.hide_paths();
        }
        let url = (url_text.as_ref())
            .and_then(|text| or_faults(UrlTemplate::of_option(text, declared), options));
        let method_key = options.key_span("method");
        let method = options.parsed(
            "method",
            "one of GET, POST, PUT, PATCH and DELETE",
            parse_method,
        );
        let headers = take_headers(options, declared, mask);
        let params = take_params(options, declared, mask);
        if let Some(text) = &url_text {
            refuse_doubled(options, text, &params);
        }
        let method = method.unwrap_or(match role {
            Role::Read => Method::GET,
            Role::Write => Method::POST,
        });
        let body = match role {
            Role::Read => take_body(options, declared, (&method, &headers), mask),
            Role::Write => {
                if let Some(span) = method_key.filter(|_| method == Method::GET) {
                    let fault = Diagnostic::new(span, "a sink cannot write with GET");
                    options.fault(fault.help("write POST, PUT, PATCH or DELETE"));
                }
                None
            }
        };
        let template = Self {
            method,
            url: url?,
            params,
            headers,
            body,
        };
        Some(template)
    }

    /// Returns the numbers of the params used anywhere.
    pub fn params(&self) -> Vec<usize> {
        let mut used: Vec<usize> = self.url.template.params().collect();
        let texts = self.params.iter().map(|(_, text)| text);
        let texts = texts.chain(self.headers.iter().map(|(_, text)| text));
        used.extend(texts.flat_map(Template::params));
        used.extend(self.body.iter().flat_map(Body::params));
        used
    }

    /// Returns true if a header is set that another origin must not see.
    pub fn has_private_header(&self) -> bool {
        self.headers
            .iter()
            .any(|(name, _)| !HARMLESS_HEADERS.contains(name))
    }

    /// Returns true if that header is set.
    pub fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    /// Refuses a `params.*` of that name: what `key` says would be sent in its place. If that option is not
    /// given, its default follows from another one.
    pub fn refuse_param(
        &self,
        options: &mut Options<'_>,
        name: &str,
        (key, decided_by): (&str, &str),
        help: &str,
    ) {
        if !self.params.iter().any(|(known, _)| known == name) {
            return;
        }
        let (by, place) = match options.value_span(key) {
            Some(place) => (key, Some(place)),
            None => (decided_by, options.value_span(decided_by)),
        };
        let place = place.unwrap_or_else(|| options.span());
        let given = options.key_span(&format!("params.{name}"));
        let message = format!("`params.{name}` would be replaced: `{by}` sets `{name}` too");
        let fault = Diagnostic::new(given.unwrap_or(place), message).also(place, "sets it too");
        options.fault(fault.help(help));
    }

    /// Returns the origin of every URL this makes, as a URL without path.
    pub fn base(&self) -> &Url {
        &self.url.base
    }

    /// Makes a request with one value per declared param.
    ///
    /// # Errors
    /// A value that cannot stand where it lands.
    pub fn bind(&self, values: &[Value]) -> anyhow::Result<Request> {
        self.bind_to(self.url.bind(values)?, values)
    }

    /// Makes a request to another URL: that of a next page. A parameter that it already has stays.
    ///
    /// # Errors
    /// As for [`RequestTemplate::bind`].
    pub fn bind_to(&self, url: Url, values: &[Value]) -> anyhow::Result<Request> {
        let mut request = Request {
            method: self.method.clone(),
            url,
            headers: Vec::with_capacity(self.headers.len() + 1),
            body: self.body.as_ref().map(|body| body.render(values)),
        };
        let mut pairs = query_pairs(&request.url);
        let count = pairs.len();
        for (name, value) in &self.params {
            if !request.has_param(name) {
                let value = value.render(values, str::to_owned);
                pairs.push(format!("{}={}", percent(name), percent(&value)));
            }
        }
        if pairs.len() > count {
            request.url.set_query(Some(&pairs.join("&")));
        }
        for (name, value) in &self.headers {
            let text = value.render(values, str::to_owned);
            let value = HeaderValue::from_str(&text).map_err(|_| {
                anyhow::anyhow!("the value for header `{name}` holds a control character")
            })?;
            request.headers.push((name.clone(), value));
        }
        if let Some(body) = self
            .body
            .as_ref()
            .filter(|_| !self.has_header(&header::CONTENT_TYPE))
        {
            let value = HeaderValue::from_static(body.content_type());
            request.headers.push((header::CONTENT_TYPE, value));
        }
        Ok(request)
    }
}

fn parse_method(text: &str) -> Option<Method> {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    known
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(text))
}

fn take_headers(
    options: &mut Options<'_>,
    declared: &[Column],
    mask: &mut Mask,
) -> Vec<(HeaderName, Template)> {
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for (name, key, text) in options.prefixed("headers.") {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            options.fault(Diagnostic::new(
                key,
                format!("`{name}` is not a header name"),
            ));
            continue;
        };
        if OWN_HEADERS.contains(&header) {
            let message = format!("header `{name}` is set by the client itself");
            options.fault(Diagnostic::new(key, message).help("leave it out"));
            continue;
        }
        if headers.iter().any(|(known, _)| *known == header) {
            let fault = Diagnostic::new(key, format!("header `{name}` is given twice"));
            let first = options.key_span_any_case(&format!("headers.{name}"));
            let first = first.filter(|first| *first != key);
            options.fault(match first {
                Some(first) => fault.also(first, "first given here"),
                None => fault,
            });
            continue;
        }
        if text.secret || header == header::AUTHORIZATION {
            hide_header(&text, mask);
        }
        let Some(template) = or_faults(Template::of_option(&text, declared), options) else {
            continue;
        };
        let literal = template.render(&vec![Value::from(""); declared.len()], str::to_owned);
        if HeaderValue::from_str(&literal).is_err() {
            let message = format!("the value of header `{name}` holds a control character");
            options.fault(Diagnostic::new(text.span, message));
            continue;
        }
        headers.push((header, template));
    }
    headers
}

/// Hides a header's value, and of `Bearer abc` also the `abc` alone.
fn hide_header(text: &Text, mask: &mut Mask) {
    mask.hide(Secret::new(text.expose()));
    if let Some((_, credential)) = text.expose().split_once(' ') {
        mask.hide(Secret::new(credential));
    }
}

fn take_params(
    options: &mut Options<'_>,
    declared: &[Column],
    mask: &mut Mask,
) -> Vec<(String, Template)> {
    let mut params = Vec::new();
    for (name, _, text) in options.prefixed("params.") {
        if text.secret {
            mask.hide(Secret::new(text.expose()));
            mask.hide_param(name.as_str());
        }
        if let Some(template) = or_faults(Template::of_option(&text, declared), options) {
            params.push((name, template));
        }
    }
    params
}

/// Refuses parameters that stand in the URL too: only one of the two would be sent.
fn refuse_doubled(options: &mut Options<'_>, url: &Text, params: &[(String, Template)]) {
    for (name, _) in params {
        if let Some(place) = place_of_param(url, name) {
            let message = format!("`{name}` stands in `url` and in `params.{name}`");
            let key = options.key_span(&format!("params.{name}"));
            let fault = Diagnostic::new(key.unwrap_or(url.span), message)
                .also(place, "stands here too")
                .help("leave one of them out");
            options.fault(fault);
        }
    }
}

/// Returns the place of the name of a query parameter in the `url` option.
pub(super) fn place_of_param(url: &Text, name: &str) -> Option<Span> {
    let text = url.as_template();
    let mut start = text.find('?')? + 1;
    for pair in text[start..].split('&') {
        let end = start + pair_name(pair).len();
        let written = &text[start..end];
        // A dollar sign is doubled in a template.
        let plain = written.replace("$$", "$");
        let mut decoded = url::form_urlencoded::parse(plain.as_bytes());
        if decoded.next().is_some_and(|(known, _)| known == name) {
            return Some(url.part(start, end));
        }
        start += pair.len() + 1;
    }
    None
}

fn take_body(
    options: &mut Options<'_>,
    declared: &[Column],
    (method, headers): (&Method, &[(HeaderName, Template)]),
    mask: &mut Mask,
) -> Option<Body> {
    let content_type = headers
        .iter()
        .find(|(name, _)| *name == header::CONTENT_TYPE);
    let content_type = content_type.map(|(_, value)| {
        let blanks = vec![Value::from(""); declared.len()];
        value.render(&blanks, str::to_owned).to_lowercase()
    });
    let form = content_type
        .as_ref()
        .is_some_and(|kind| kind.contains("x-www-form-urlencoded"));
    let escape = if form { Escape::Form } else { Escape::Json };
    let (body, key) = Body::take(options, declared, escape, mask)?;
    if *method == Method::GET {
        let fault = Diagnostic::new(key, "a GET request carries no body");
        options.fault(fault.help("add `method = 'POST'` (or PUT, PATCH, DELETE)"));
    }
    let escapable = form || content_type.is_none_or(|kind| kind.contains("json"));
    if !escapable && !body.params().is_empty() {
        let message = "params in a body are escaped for JSON or a form, not for this content type";
        let fault = Diagnostic::new(key, message);
        options.fault(fault.help(
            "set `headers.Content-Type` to `application/json` or `application/x-www-form-urlencoded`",
        ));
    }
    Some(body)
}

/// The `url` option.
#[derive(Debug)]
struct UrlTemplate {
    template: Template,
    /// The origin, which has no params: the URL without path and query.
    base: Url,
    /// How many segments of the written path are `.` or `..`.
    dot_segments: usize,
}

impl UrlTemplate {
    fn of_option(text: &Text, declared: &[Column]) -> Result<Self, Vec<Diagnostic>> {
        let template = Template::of_option(text, declared)?;
        let fault_at = |place: Span, message: &str, help: &str| {
            vec![Diagnostic::new(place, message).help(help)]
        };
        let fault = |message: &str, help: &str| fault_at(text.span, message, help);
        let source = text.expose();
        let authority = source.find("://").map_or(0, |at| at + 3);
        let authority_end = source[authority..]
            .find(['/', '?', '#'])
            .map_or(source.len(), |at| authority + at);
        if template.has_param_before(authority_is_over) {
            let message = "a param cannot stand in the scheme or host of a URL";
            let param = source.find('$').unwrap_or(0);
            let rest = source.get(param + 1..).unwrap_or("");
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let end = param + 1 + length.unwrap_or(rest.len());
            return Err(fault_at(
                text.part(param, end),
                message,
                "a row would decide who gets the request; write the host out",
            ));
        }
        let sample = template.render(&vec![Value::from("x"); declared.len()], str::to_owned);
        let dot_segments = dot_segments(&sample);
        let sample = match Url::parse(&sample) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => url,
            Ok(url) => {
                let message = format!("a URL of scheme `{}` cannot be requested", url.scheme());
                return Err(fault(&message, "write `http://…` or `https://…`"));
            }
            Err(error) => {
                let why = match error {
                    url::ParseError::RelativeUrlWithoutBase => String::new(),
                    error => format!(": {error}"),
                };
                let message = format!("`{}` is not a URL{why}", text.shown());
                return Err(fault(&message, "write `http://…` or `https://…`"));
            }
        };
        if !sample.username().is_empty() || sample.password().is_some() {
            let message = "credentials in a URL are not sent";
            let end = source[..authority_end].rfind('@').unwrap_or(authority_end);
            return Err(fault_at(
                text.part(authority, end),
                message,
                "use `auth.type = 'basic'` with a secret",
            ));
        }
        if sample.fragment().is_some() {
            let hash = source.find('#').unwrap_or(source.len());
            return Err(fault_at(
                text.part(hash, source.len()),
                "the part of a URL after `#` is never sent",
                "leave it out",
            ));
        }
        let mut base = sample;
        base.set_path("");
        base.set_query(None);
        Ok(Self {
            template,
            base,
            dot_segments,
        })
    }

    fn bind(&self, values: &[Value]) -> anyhow::Result<Url> {
        let text = self.template.render(values, percent);
        // `..` as a value would be resolved away and reach another resource (WHATWG URL, path state).
        if dot_segments(&text) != self.dot_segments {
            bail!("a value of `.` or `..` cannot stand in the path of a URL");
        }
        Url::parse(&text).context("the values make no URL")
    }
}

/// Says whether the beginning of a URL goes on beyond its host.
fn authority_is_over(beginning: &str) -> bool {
    let authority = beginning.find("://").map_or(0, |at| at + 3);
    beginning[authority..].contains(['/', '?', '#'])
}

fn dot_segments(url: &str) -> usize {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.split('/')
        .filter(|segment| is_dots(segment.as_bytes()))
        .count()
}

/// Says whether a segment is `.` or `..`, however the dots are written.
fn is_dots(segment: &[u8]) -> bool {
    let (mut rest, mut dots) = (segment, 0);
    while !rest.is_empty() {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return false,
        };
        dots += 1;
    }
    (1..=2).contains(&dots)
}

#[cfg(test)]
mod tests {
    use super::dot_segments;

    #[test]
    fn dots_are_found_however_they_are_written() {
        assert_eq!(dot_segments("http://h/./a/%2E/..?x=/../#/.."), 3);
        assert_eq!(dot_segments("http://h/%2e./.%2E/%2E%2e"), 3);
        assert_eq!(dot_segments("http://h/.../.a/a./%2/%2f/%252e//"), 0);
    }
}
