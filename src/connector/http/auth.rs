//! How requests prove who sends them: `auth.type` and its options.
//!
//! | type | options | what is sent |
//! |---|---|---|
//! | `basic` | `auth.username`, `auth.password` | `Authorization: Basic …` (RFC 7617) |
//! | `bearer` | `auth.token` | `Authorization: Bearer …` (RFC 6750) |
//! | `api-key` | `auth.key`, and `auth.header` or `auth.param` | the key in that header or query parameter |
//! | `oauth2` | see [`super::oauth`] | a bearer token got by client credentials |
//! | `hmac-sha256` | see [`super::hmac`] | a signature over each request |
//!
//! Every value given here is treated as a secret, written as one or not.

use ureq::http::{HeaderName, header};

use super::encoding::base64;
use super::hmac::Hmac;
use super::oauth::OAuth;
use super::request::{Request, RequestTemplate, place_of_param};
use super::shown::Mask;
use crate::diagnostic::{Diagnostic, Span};
use crate::options::Options;
use crate::secret::Secret;

/// The authentication of one entity.
#[derive(Debug)]
pub(super) enum Auth {
    None,
    /// A header whose value never changes: basic, bearer, or an API key.
    Header(HeaderName, Secret),
    Param(String, Secret),
    /// OAuth 2.0.
    ClientCredentials(Box<OAuth>),
    Hmac(Box<Hmac>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Basic,
    Bearer,
    ApiKey,
    OAuth,
    Hmac,
}

const KINDS: &[(&str, Kind)] = &[
    ("basic", Kind::Basic),
    ("bearer", Kind::Bearer),
    ("api-key", Kind::ApiKey),
    ("oauth2", Kind::OAuth),
    ("hmac-sha256", Kind::Hmac),
];

/// Every `auth.` option and the types it belongs to.
const KEYS: &[(&str, &[Kind])] = &[
    ("auth.username", &[Kind::Basic]),
    ("auth.password", &[Kind::Basic]),
    ("auth.token", &[Kind::Bearer]),
    ("auth.key", &[Kind::ApiKey, Kind::Hmac]),
    ("auth.header", &[Kind::ApiKey, Kind::Hmac]),
    ("auth.param", &[Kind::ApiKey]),
    ("auth.token_url", &[Kind::OAuth]),
    ("auth.client_id", &[Kind::OAuth]),
    ("auth.client_secret", &[Kind::OAuth]),
    ("auth.client_auth", &[Kind::OAuth]),
    ("auth.scope", &[Kind::OAuth]),
    ("auth.audience", &[Kind::OAuth]),
    ("auth.secret", &[Kind::Hmac]),
    ("auth.key_header", &[Kind::Hmac]),
    ("auth.timestamp_header", &[Kind::Hmac]),
    ("auth.timestamp_param", &[Kind::Hmac]),
    ("auth.timestamp_unit", &[Kind::Hmac]),
    ("auth.string_to_sign", &[Kind::Hmac]),
    ("auth.encoding", &[Kind::Hmac]),
    ("auth.signature_param", &[Kind::Hmac]),
    ("auth.passphrase", &[Kind::Hmac]),
    ("auth.passphrase_header", &[Kind::Hmac]),
    ("auth.passphrase_signed", &[Kind::Hmac]),
];

impl Auth {
    /// Takes `auth.type` and the options of that type; an `auth.` option of another type is a fault.
    pub fn take(options: &mut Options<'_>, mask: &mut Mask) -> Self {
        let type_given = options.key_span("auth.type").is_some();
        let kind = options.one_of("auth.type", KINDS);
        refuse_foreign(options, kind, type_given);
        let auth = match kind {
            None => Some(Self::None),
            Some(Kind::Basic) => take_basic(options, mask),
            Some(Kind::Bearer) => take_secret(options, "auth.token", mask).map(|token| {
                let value = format!("Bearer {}", token.expose());
                Self::Header(header::AUTHORIZATION, Secret::new(value))
            }),
            Some(Kind::ApiKey) => take_api_key(options, mask),
            Some(Kind::OAuth) => {
                OAuth::take(options, mask).map(|oauth| Self::ClientCredentials(Box::new(oauth)))
            }
            Some(Kind::Hmac) => Hmac::take(options, mask).map(|hmac| Self::Hmac(Box::new(hmac))),
        };
        // Without its options the entity has faults and never sends.
        auth.unwrap_or(Self::None)
    }

    /// Returns the headers this sets with the options that say so, for the check that nobody else sets them.
    pub fn headers(&self) -> Vec<(&'static str, &HeaderName)> {
        match self {
            Self::None | Self::Param(..) => Vec::new(),
            Self::Header(name, _) => vec![("auth.header", name)],
            Self::ClientCredentials(_) => vec![("auth.type", &header::AUTHORIZATION)],
            Self::Hmac(hmac) => hmac.headers(),
        }
    }

    /// As [`Auth::headers`], for the parameters of the query.
    pub fn params(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::None | Self::Header(..) | Self::ClientCredentials(_) => Vec::new(),
            Self::Param(name, _) => vec![("auth.param", name)],
            Self::Hmac(hmac) => hmac.params(),
        }
    }

    /// Notes a fault for each header or parameter that two options set: only one of them would be sent.
    pub fn refuse_doubled(&self, template: &RequestTemplate, options: &mut Options<'_>) {
        let headers = self.headers();
        for (number, (key, name)) in headers.iter().enumerate() {
            let given = options.key_span_any_case(&format!("headers.{name}"));
            if let Some(given) = given.filter(|_| template.has_header(name)) {
                let message = format!("header `{name}` is set by `auth.type` and by `headers.*`");
                refuse(options, (given, message), key);
            }
            refuse_second(options, (key, name), &headers[..number], "header");
        }
        let url = options.text("url");
        let params = self.params();
        for (number, (key, name)) in params.iter().enumerate() {
            template.refuse_param(options, name, (key, "auth.type"), "keep one of them");
            let in_url = url.as_ref().and_then(|url| place_of_param(url, name));
            if let Some(place) = in_url {
                let message = format!("`{name}` stands in `url` and is set by `{key}`");
                refuse(options, (place, message), key);
            }
            refuse_second(options, (key, name), &params[..number], "parameter");
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Adds what never changes or follows from the request alone. [`Auth::ClientCredentials`] is left to
    /// the client, which has to ask for a token first.
    ///
    /// # Errors
    /// A value that no header can hold.
    pub fn sign(
        &self,
        request: &mut Request,
        now: chrono::DateTime<chrono::Utc>,
    ) -> anyhow::Result<()> {
        match self {
            Self::None | Self::ClientCredentials(_) => Ok(()),
            Self::Header(name, value) => request.set_secret_header(name.clone(), value.expose()),
            Self::Param(name, value) => {
                request.set_param(name, value.expose());
                Ok(())
            }
            Self::Hmac(hmac) => hmac.sign(request, now),
        }
    }
}

/// Notes a fault if one of the options before this one sets the same name.
fn refuse_second<N: PartialEq + std::fmt::Display>(
    options: &mut Options<'_>,
    (key, name): (&str, &N),
    before: &[(&'static str, N)],
    what: &str,
) {
    let first = before.iter().find(|(_, known)| known == name);
    if let (Some((first, _)), Some(place)) = (first, options.value_span(key)) {
        let message = format!("{what} `{name}` is set by `{first}` and by `{key}`");
        refuse(options, (place, message), first);
    }
}

fn refuse(options: &mut Options<'_>, (place, message): (Span, String), other: &str) {
    let fault = Diagnostic::new(place, message);
    let other = options
        .value_span(other)
        .or_else(|| options.value_span("auth.type"));
    let fault = (other.into_iter()).fold(fault, |fault, other| fault.also(other, "sets it too"));
    options.fault(fault.help("keep one of them"));
}

/// Notes a fault for each `auth.` option that the chosen type does not know.
fn refuse_foreign(options: &mut Options<'_>, kind: Option<Kind>, type_given: bool) {
    for (key, kinds) in KEYS {
        let belongs = kind.is_some_and(|kind| kinds.contains(&kind));
        let span = options.key_span(key);
        if belongs {
            continue;
        }
        // Taken in any case, so that it is known and not called unknown as well.
        options.text(key);
        let Some(span) = span else {
            continue;
        };
        let names = KINDS
            .iter()
            .filter(|(_, kind)| kinds.contains(kind))
            .map(|(name, _)| *name);
        let names: Vec<&str> = names.collect();
        let one = names.first().copied().unwrap_or_default();
        let names = crate::diagnostic::list_names(names);
        let fault = match kind.and_then(|kind| KINDS.iter().find(|(_, known)| *known == kind)) {
            Some((chosen, _)) => Diagnostic::new(
                span,
                format!("`{key}` does not belong to `auth.type = '{chosen}'`"),
            )
            .help(format!("it is an option of {names}")),
            // A wrong `auth.type` is a fault of its own.
            None if type_given => continue,
            None => Diagnostic::new(span, format!("`{key}` needs an `auth.type`")).help(
                match kinds.len() {
                    1 => format!("add `auth.type = '{one}'`"),
                    _ => format!("add `auth.type = '…'`, one of {names}"),
                },
            ),
        };
        options.fault(fault);
    }
}

/// Takes a required option whose value is hidden from now on.
pub(super) fn take_secret(
    options: &mut Options<'_>,
    key: &'static str,
    mask: &mut Mask,
) -> Option<Secret> {
    let text = options.required_text(key)?;
    let secret = Secret::new(text.expose());
    mask.hide(secret.clone());
    Some(secret)
}

/// Takes an optional header name.
pub(super) fn take_header_name(options: &mut Options<'_>, key: &'static str) -> Option<HeaderName> {
    options.parsed(key, "a header name", |text| {
        HeaderName::from_bytes(text.as_bytes()).ok()
    })
}

fn take_basic(options: &mut Options<'_>, mask: &mut Mask) -> Option<Auth> {
    let username = options.required_text("auth.username");
    let password = take_secret(options, "auth.password", mask);
    let username = username?;
    if username.expose().contains(':') {
        let message = "a user name with a colon cannot be sent by basic authentication";
        options.fault(Diagnostic::new(username.span, message));
    }
    let pair = format!("{}:{}", username.expose(), password?.expose());
    let encoded = Secret::new(base64(pair.as_bytes()));
    mask.hide(encoded.clone());
    let value = format!("Basic {}", encoded.expose());
    Some(Auth::Header(header::AUTHORIZATION, Secret::new(value)))
}

fn take_api_key(options: &mut Options<'_>, mask: &mut Mask) -> Option<Auth> {
    let key = take_secret(options, "auth.key", mask);
    let header_span = options.key_span("auth.header");
    let header = take_header_name(options, "auth.header");
    let param_span = options.key_span("auth.param");
    let param = options.text("auth.param");
    match (header_span, param_span) {
        (Some(header), Some(param)) => {
            let fault = Diagnostic::new(
                param,
                "the key goes into a header or a query parameter, not both",
            );
            options.fault(
                fault
                    .also(header, "the header is given here")
                    .help("keep one of them"),
            );
        }
        (None, None) => {
            let place = options.value_span("auth.type");
            let fault = Diagnostic::new(
                place.unwrap_or_else(|| options.span()),
                "`auth.type = 'api-key'` does not say where the key goes",
            );
            options
                .fault(fault.help("add `auth.header = 'X-API-Key'` or `auth.param = 'api_key'`"));
        }
        _ => {}
    }
    if let Some(header) = header {
        return Some(Auth::Header(header, key?));
    }
    let name = param?.expose().to_owned();
    mask.hide_param(name.as_str());
    Some(Auth::Param(name, key?))
}
