//! `auth.type = 'hmac-sha256'`: a signature over each request, as exchanges ask for it.
//!
//! On every attempt the instant is taken anew, then the request gets, in this order:
//!
//! 1. `auth.timestamp_param`: the instant as a query parameter; or `auth.timestamp_header`: as a header;
//!    in `auth.timestamp_unit` (`ms`, default, or `s`) since 1970;
//! 2. `auth.key_header`: `auth.key` as it is;
//! 3. `auth.passphrase_header`: `auth.passphrase`, signed like a request unless
//!    `auth.passphrase_signed = 'false'`;
//! 4. the signature, HMAC-SHA-256 (RFC 2104) of `auth.string_to_sign` under `auth.secret`, in
//!    `auth.encoding` (`hex` or `base64`), as header `auth.header` or as the last query parameter
//!    `auth.signature_param`.
//!
//! In `auth.string_to_sign` stand `{timestamp}`, `{method}` (upper case), `{path}` (as sent),
//! `{query}` (as sent, the timestamp parameter included, without `?` and without the signature),
//! `{path_query}` (`{path}?{query}`, or `{path}` without a query) and `{body}`. The default is
//! `{timestamp}{method}{path_query}{body}` in base64 for a header, `{query}{body}` in hex for a
//! parameter.
//!
//! KuCoin (version 2 of its keys): `auth.key_header = 'KC-API-KEY'`, `auth.header = 'KC-API-SIGN'`,
//! `auth.timestamp_header = 'KC-API-TIMESTAMP'`, `auth.passphrase_header = 'KC-API-PASSPHRASE'`,
//! `headers.KC-API-KEY-VERSION = '2'`. <https://www.kucoin.com/docs/basic-info/connection-method/authentication/creating-a-request>
//!
//! Binance: `auth.key_header = 'X-MBX-APIKEY'`, `auth.timestamp_param = 'timestamp'`,
//! `auth.signature_param = 'signature'`.
//! <https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security>

use chrono::{DateTime, Utc};
use ring::hmac;
use ureq::http::HeaderName;

use super::auth::{take_header_name, take_secret};
use super::encoding::{base64, hex};
use super::request::Request;
use super::shown::Mask;
use crate::diagnostic::Diagnostic;
use crate::options::{Options, Text};
use crate::secret::Secret;

/// The `auth.` options of this type, checked.
pub(super) struct Hmac {
    secret: hmac::Key,
    key: Option<(HeaderName, Secret)>,
    timestamp: Option<Timestamp>,
    milliseconds: bool,
    passphrase: Option<Passphrase>,
    string_to_sign: Vec<Part>,
    hex: bool,
    target: Target,
}

struct Passphrase {
    header: HeaderName,
    value: Secret,
    signed: bool,
}

/// Shows where the signature goes, nothing else.
impl std::fmt::Debug for Hmac {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Hmac").field(&self.target).finish()
    }
}

#[derive(Debug)]
enum Timestamp {
    Header(HeaderName),
    Param(String),
}

#[derive(Debug)]
enum Target {
    Header(HeaderName),
    Param(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Timestamp,
    Method,
    Path,
    Query,
    PathQuery,
    Body,
}

const PARTS: &[(&str, Part)] = &[
    ("timestamp", Part::Timestamp),
    ("method", Part::Method),
    ("path", Part::Path),
    ("query", Part::Query),
    ("path_query", Part::PathQuery),
    ("body", Part::Body),
];

impl Hmac {
    pub fn take(options: &mut Options<'_>, mask: &mut Mask) -> Option<Self> {
        let secret = take_secret(options, "auth.secret", mask);
        let target = take_target(options, mask);
        let key = take_pair(options, "auth.key", "auth.key_header", mask);
        let passphrase = take_pair(options, "auth.passphrase", "auth.passphrase_header", mask);
        let signed_span = options.key_span("auth.passphrase_signed");
        let signed = options.boolean("auth.passphrase_signed");
        if let (Some(span), None) = (signed_span, &passphrase) {
            options.fault(Diagnostic::new(
                span,
                "`auth.passphrase_signed` needs `auth.passphrase`",
            ));
        }
        let timestamp = take_timestamp(options, mask);
        let unit_span = options.key_span("auth.timestamp_unit");
        let milliseconds = options.one_of("auth.timestamp_unit", &[("ms", true), ("s", false)]);
        let encoding = options.one_of("auth.encoding", &[("hex", true), ("base64", false)]);
        let written = options.text("auth.string_to_sign");
        let written = written.and_then(|text| match parse_parts(text.expose()) {
            Ok(parts) => Some(parts),
            Err((start, end)) => {
                options.fault(unknown_part(&text, start, end));
                None
            }
        });
        let target = target?;
        let in_param = matches!(target, Target::Param(_));
        let string_to_sign = written.unwrap_or_else(|| match in_param {
            true => vec![Part::Query, Part::Body],
            false => vec![Part::Timestamp, Part::Method, Part::PathQuery, Part::Body],
        });
        if let Some(span) = unit_span
            && timestamp.is_none()
            && !string_to_sign.contains(&Part::Timestamp)
        {
            let fault = Diagnostic::new(
                span,
                "`auth.timestamp_unit` is given, but no timestamp is sent",
            );
            options.fault(fault.help("add `auth.timestamp_header` or `auth.timestamp_param`"));
        }
        Some(Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret?.expose().as_bytes()),
            key,
            timestamp,
            milliseconds: milliseconds.unwrap_or(true),
            passphrase: passphrase.map(|(header, value)| Passphrase {
                header,
                value,
                signed: signed.unwrap_or(true),
            }),
            string_to_sign,
            hex: encoding.unwrap_or(in_param),
            target,
        })
    }

    /// Returns the headers that a signature sets, with their options.
    pub fn headers(&self) -> Vec<(&'static str, &HeaderName)> {
        let mut headers = Vec::new();
        if let Target::Header(name) = &self.target {
            headers.push(("auth.header", name));
        }
        if let Some(Timestamp::Header(name)) = &self.timestamp {
            headers.push(("auth.timestamp_header", name));
        }
        if let Some((name, _)) = &self.key {
            headers.push(("auth.key_header", name));
        }
        if let Some(passphrase) = &self.passphrase {
            headers.push(("auth.passphrase_header", &passphrase.header));
        }
        headers
    }

    /// As [`Hmac::headers`], for the parameters of the query.
    pub fn params(&self) -> Vec<(&'static str, &str)> {
        let mut params = Vec::new();
        if let Target::Param(name) = &self.target {
            params.push(("auth.signature_param", name.as_str()));
        }
        if let Some(Timestamp::Param(name)) = &self.timestamp {
            params.push(("auth.timestamp_param", name));
        }
        params
    }

    /// Signs the request as of `now`; signing one again replaces what the first time added.
    pub fn sign(&self, request: &mut Request, now: DateTime<Utc>) -> anyhow::Result<()> {
        let timestamp = match self.milliseconds {
            true => now.timestamp_millis().to_string(),
            false => now.timestamp().to_string(),
        };
        match &self.timestamp {
            None => {}
            Some(Timestamp::Header(name)) => request.set_secret_header(name.clone(), &timestamp)?,
            Some(Timestamp::Param(name)) => request.set_param(name, &timestamp),
        }
        if let Some((header, key)) = &self.key {
            request.set_secret_header(header.clone(), key.expose())?;
        }
        if let Some(passphrase) = &self.passphrase {
            let signed = passphrase
                .signed
                .then(|| self.signature(passphrase.value.expose().as_bytes()));
            let value = signed.as_deref().unwrap_or(passphrase.value.expose());
            request.set_secret_header(passphrase.header.clone(), value)?;
        }
        if let Target::Param(name) = &self.target {
            super::request::remove_params(&mut request.url, std::slice::from_ref(name));
        }
        let signature = self.signature(&self.signed_bytes(request, &timestamp));
        match &self.target {
            Target::Header(name) => request.set_secret_header(name.clone(), &signature),
            Target::Param(name) => {
                request.set_param(name, &signature);
                Ok(())
            }
        }
    }

    fn signed_bytes(&self, request: &Request, timestamp: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let query = request.url.query();
        for part in &self.string_to_sign {
            match part {
                Part::Literal(text) => bytes.extend(text.as_bytes()),
                Part::Timestamp => bytes.extend(timestamp.as_bytes()),
                Part::Method => bytes.extend(request.method.as_str().as_bytes()),
                Part::Path => bytes.extend(request.url.path().as_bytes()),
                Part::Query => bytes.extend(query.unwrap_or_default().as_bytes()),
                Part::PathQuery => {
                    bytes.extend(request.url.path().as_bytes());
                    if let Some(query) = query {
                        bytes.push(b'?');
                        bytes.extend(query.as_bytes());
                    }
                }
                Part::Body => bytes.extend(request.body.as_deref().unwrap_or_default()),
            }
        }
        bytes
    }

    fn signature(&self, bytes: &[u8]) -> String {
        let tag = hmac::sign(&self.secret, bytes);
        if self.hex {
            hex(tag.as_ref())
        } else {
            base64(tag.as_ref())
        }
    }
}

fn take_target(options: &mut Options<'_>, mask: &mut Mask) -> Option<Target> {
    let header_span = options.key_span("auth.header");
    let header = take_header_name(options, "auth.header");
    let param_span = options.key_span("auth.signature_param");
    let param = options.text("auth.signature_param");
    match (header_span, param_span) {
        (Some(header), Some(param)) => {
            let fault = Diagnostic::new(
                param,
                "the signature goes into a header or a query parameter, not both",
            );
            options.fault(
                fault
                    .also(header, "the header is given here")
                    .help("keep one of them"),
            );
        }
        (None, None) => {
            let message = "`auth.type = 'hmac-sha256'` does not say where the signature goes";
            let place = options.value_span("auth.type");
            let fault = Diagnostic::new(place.unwrap_or_else(|| options.span()), message);
            options.fault(fault.help("add `auth.header = '…'` or `auth.signature_param = '…'`"));
        }
        _ => {}
    }
    if let Some(header) = header {
        return Some(Target::Header(header));
    }
    let name = param?.expose().to_owned();
    mask.hide_param(name.as_str());
    Some(Target::Param(name))
}

fn take_timestamp(options: &mut Options<'_>, mask: &mut Mask) -> Option<Timestamp> {
    let header_span = options.key_span("auth.timestamp_header");
    let header = take_header_name(options, "auth.timestamp_header");
    let param_span = options.key_span("auth.timestamp_param");
    let param = options.text("auth.timestamp_param");
    if let (Some(header), Some(param)) = (header_span, param_span) {
        let fault = Diagnostic::new(
            param,
            "the timestamp goes into a header or a query parameter, not both",
        );
        options.fault(
            fault
                .also(header, "the header is given here")
                .help("keep one of them"),
        );
    }
    let param = param.map(|param| {
        // No secret, but another one in every attempt: a record is matched without it.
        mask.hide_param(param.expose());
        Timestamp::Param(param.expose().to_owned())
    });
    header.map(Timestamp::Header).or(param)
}

/// Takes a value and the header it goes into: both or none.
fn take_pair(
    options: &mut Options<'_>,
    value_key: &'static str,
    header_key: &'static str,
    mask: &mut Mask,
) -> Option<(HeaderName, Secret)> {
    let value_span = options.key_span(value_key);
    let header_span = options.key_span(header_key);
    let value = options
        .text(value_key)
        .map(|text| Secret::new(text.expose()));
    let header = take_header_name(options, header_key);
    let alone = match (value_span, header_span) {
        (Some(span), None) => Some((span, value_key, header_key)),
        (None, Some(span)) => Some((span, header_key, value_key)),
        _ => None,
    };
    if let Some((span, given, absent)) = alone {
        let fault = Diagnostic::new(span, format!("`{given}` needs `{absent}`"));
        options.fault(fault.help(format!("add `{absent} = '…'`")));
    }
    if let Some(value) = &value {
        mask.hide(value.clone());
    }
    Some((header?, value?))
}

/// Cuts a text at its `{…}`; a `{name}` that is none of [`PARTS`] is returned by its place.
fn parse_parts(text: &str) -> Result<Vec<Part>, (usize, usize)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let open = at + found;
        let close = text[open..].find('}').map(|close| open + close);
        let close = close.ok_or((open, text.len()))?;
        let name = &text[open + 1..close];
        let (_, part) = PARTS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or((open, close + 1))?;
        if found > 0 {
            parts.push(Part::Literal(text[at..open].to_owned()));
        }
        parts.push(part.clone());
        at = close + 1;
    }
    if at < text.len() {
        parts.push(Part::Literal(text[at..].to_owned()));
    }
    Ok(parts)
}

fn unknown_part(text: &Text, start: usize, end: usize) -> Diagnostic {
    let names: Vec<String> = (PARTS.iter())
        .map(|(name, _)| format!("{{{name}}}"))
        .collect();
    let names = || names.iter().map(String::as_str);
    let wrote = text.expose().get(start..end).unwrap_or("");
    let known = crate::diagnostic::list_names(names());
    Diagnostic::new(text.part(start, end), "no part of a request has that name")
        .label(format!("expected one of {known}"))
        .suggest(wrote, names())
}
