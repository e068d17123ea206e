//! The options of the `ws` connector, typed and checked.

use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest as _;
use rustls_pki_types::CertificateDer;
use url::Url;

use super::tls::read_authorities;
use crate::connector::StartQuery;
use crate::connector::row_options::{HeaderRules, RowOptions, take_headers};
use crate::diagnostic::{Diagnostic, Span};
use crate::options::{Options, Text};

const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(20);
const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Symbols come and go over hours; a query a minute costs nothing.
const REFRESH_DEFAULT: Duration = Duration::from_secs(60);

/// Below it, timers would cost more than the messages.
const TIMER_MIN: Duration = Duration::from_millis(10);

const BATCH_ROWS_DEFAULT: u64 = 1024;

/// A batch is one transaction and is held in memory whole.
const BATCH_ROWS_MAX: u64 = 1 << 20;

const LINGER_DEFAULT: Duration = Duration::from_millis(20);

/// Rows held back longer than this would look like a source that stands still.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// Holds the largest snapshots that exchanges send, and bounds what a broken peer can make us hold.
const FRAME_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;

/// A frame is held in memory whole, and its rows beside it.
const FRAME_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// RFC 6455 section 4.1: the handshake sets these.
const RESERVED_HEADERS: &[&str] = &[
    "host",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// A piece of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlPiece {
    Literal(String),
    /// The value of a column of `on_start_query`, percent-encoded.
    Column(String),
}

/// One connection per row of a query.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub query: StartQuery,
    pub refresh: Duration,
}

/// A ws source whose options are validated.
#[derive(Clone, Debug)]
pub(super) struct WsOptions {
    /// The text may hold keys: print [`Text::shown`] of it at most, and never an error with the URL.
    pub url: Text,
    pub url_pieces: Vec<UrlPiece>,
    pub headers: Vec<(String, Text)>,
    /// Sent as text frames after each connect, in this order.
    pub subscribe: Vec<Text>,
    pub start: Option<Start>,
    /// A ping frame is sent this often, and `ping_message` with it.
    pub ping_interval: Duration,
    pub ping_message: Option<Text>,
    /// A connection without any frame for this long is closed and made anew.
    pub idle_timeout: Duration,
    pub batch_rows_max: usize,
    pub batch_linger: Duration,
    pub frame_bytes_max: usize,
    /// The authorities of `tls.ca`, to trust besides those of the system.
    pub authorities: Vec<CertificateDer<'static>>,
    pub rows: RowOptions,
}

impl WsOptions {
    /// Takes the options; faults are noted in `options`.
    pub(super) fn take(options: &mut Options<'_>) -> Option<Self> {
        let url = options.required_text("url");
        let headers = take_headers(
            options,
            HeaderRules::Http {
                reserved: RESERVED_HEADERS,
            },
        );
        let subscribe = take_subscribe(options);
        let query_key = options.key_span("on_start_query");
        let query = take_query(options);
        let refresh = take_refresh(options, query_key.is_some());
        let (ping_interval, idle_timeout) = take_timers(options);
        let ping_message = options.text("ping_message");
        let batch_rows_max = take_bounded(options, "batch.max_rows", 1..=BATCH_ROWS_MAX);
        let linger = take_linger(options);
        let frame_bytes_max = take_frame_bytes(options);
        let tls_ca_key = options.key_span("tls.ca");
        let authorities = take_authorities(options);
        let rows = RowOptions::take(options);
        let url = url?;
        let (url_pieces, columns) = split_url(options, &url, query_key.is_some());
        let scheme = check_url(options, &url, &url_pieces)?;
        if let ("ws", Some(key)) = (scheme.as_str(), tls_ca_key) {
            let fault = Diagnostic::new(key, "`tls.ca` has no meaning for a `ws://` address")
                .also(url.span, "not encrypted")
                .help("write `wss://`, or remove it");
            options.fault(fault);
        }
        let sent = headers.iter().map(|(_, text)| text).chain(&subscribe);
        let kept = sent.chain(&ping_message).flat_map(dollar_names).collect();
        let start = match query_key {
            Some(_) => Some(Start {
                query: StartQuery {
                    text: query?,
                    columns,
                    kept,
                },
                refresh,
            }),
            None => None,
        };
        Some(Self {
            url,
            url_pieces,
            headers,
            subscribe,
            start,
            ping_interval,
            ping_message,
            idle_timeout,
            batch_rows_max: to_usize(batch_rows_max.unwrap_or(BATCH_ROWS_DEFAULT)),
            batch_linger: linger,
            frame_bytes_max,
            authorities,
            rows: rows?,
        })
    }
}

fn to_usize(bounded: u64) -> usize {
    usize::try_from(bounded).expect("the bounds of these options fit 32 bits")
}

fn take_bounded(
    options: &mut Options<'_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<u64>,
) -> Option<u64> {
    let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
    options.parsed(key, &expected, |text| {
        text.parse().ok().filter(|value| bounds.contains(value))
    })
}

fn take_frame_bytes(options: &mut Options<'_>) -> usize {
    let bytes = options.parsed("max_frame_bytes", "a size from '1kB' to '1GiB'", |text| {
        crate::options::parse_size(text).filter(|bytes| (1000..=FRAME_BYTES_MAX).contains(bytes))
    });
    to_usize(bytes.unwrap_or(FRAME_BYTES_DEFAULT))
}

fn take_authorities(options: &mut Options<'_>) -> Vec<CertificateDer<'static>> {
    let Some(path) = options.text("tls.ca") else {
        return Vec::new();
    };
    read_authorities(path.expose().trim()).unwrap_or_else(|error| {
        let message = format!("`tls.ca` cannot be used: {error:#}");
        options.fault(Diagnostic::new(path.span, message).label("expected a PEM file"));
        Vec::new()
    })
}

fn take_linger(options: &mut Options<'_>) -> Duration {
    let linger = options.parsed("batch.linger", "a duration from '0ms' to '10s'", |text| {
        crate::options::parse_duration(text).filter(|linger| *linger <= LINGER_MAX)
    });
    linger.unwrap_or(LINGER_DEFAULT)
}

fn take_timer(options: &mut Options<'_>, key: &'static str) -> Option<Duration> {
    options.parsed(key, "a duration of '10ms' or more", |text| {
        crate::options::parse_duration(text).filter(|timer| *timer >= TIMER_MIN)
    })
}

/// A peer that only answers pings must not look idle.
fn take_timers(options: &mut Options<'_>) -> (Duration, Duration) {
    let given = options
        .key_span("idle_timeout")
        .or(options.key_span("ping_interval"));
    let ping = take_timer(options, "ping_interval").unwrap_or(PING_INTERVAL_DEFAULT);
    let idle = take_timer(options, "idle_timeout").unwrap_or(IDLE_TIMEOUT_DEFAULT);
    if let Some(place) = given.filter(|_| idle <= ping) {
        let message =
            format!("`idle_timeout` ({idle:?}) is not longer than `ping_interval` ({ping:?})");
        let fault = Diagnostic::new(place, message)
            .help("a quiet connection would be closed before its ping is answered");
        options.fault(fault);
    }
    (ping, idle)
}

fn take_query(options: &mut Options<'_>) -> Option<Text> {
    let query = options.text("on_start_query")?;
    if query.expose().trim().is_empty() {
        options.fault(Diagnostic::new(query.span, "`on_start_query` is empty"));
    }
    Some(query)
}

fn take_refresh(options: &mut Options<'_>, has_query: bool) -> Duration {
    let key = options.key_span("on_start_refresh");
    let refresh = take_timer(options, "on_start_refresh").unwrap_or(REFRESH_DEFAULT);
    if let Some(key) = key.filter(|_| !has_query) {
        let message = "`on_start_refresh` has no meaning without `on_start_query`";
        options.fault(Diagnostic::new(key, message));
    }
    refresh
}

/// Takes `subscribe.0`, `subscribe.1`, … in the order of their numbers.
fn take_subscribe(options: &mut Options<'_>) -> Vec<Text> {
    let given = options.prefixed("subscribe.");
    let mut numbered: Vec<(usize, Span, Text)> = Vec::with_capacity(given.len());
    for (number, key, text) in given {
        match number.parse::<usize>() {
            // Without this, `subscribe.01` and `subscribe.1` would be one.
            Ok(parsed) if parsed.to_string() == number => numbered.push((parsed, key, text)),
            _ => {
                let message = format!("`{number}` is not the number of a message");
                let fault =
                    Diagnostic::new(key, message).label("expected `subscribe.0`, `subscribe.1`, …");
                options.fault(fault);
            }
        }
    }
    numbered.sort_by_key(|(number, _, _)| *number);
    let hole = numbered
        .iter()
        .enumerate()
        .find(|(place, (number, _, _))| place != number);
    if let Some((missing, (number, key, _))) = hole {
        let message = format!("`subscribe.{number}` is given, but not `subscribe.{missing}`");
        let fault = Diagnostic::new(*key, message).help("number the messages from 0 without holes");
        options.fault(fault);
    }
    numbered.into_iter().map(|(_, _, text)| text).collect()
}

/// Cuts the URL at its `$column`s; `$$` is a dollar sign. A secret or a variable of the environment is taken
/// as it is. Returns the columns with their places too; without a query each of them is a fault.
fn split_url(
    options: &mut Options<'_>,
    url: &Text,
    has_query: bool,
) -> (Vec<UrlPiece>, Vec<(String, Span)>) {
    let mut columns: Vec<(String, Span)> = Vec::new();
    let mut pieces = Vec::new();
    let mut literal = String::new();
    for part in url.parts() {
        let text = part.text;
        let mut at = 0;
        while let Some(found) = text[at..].find('$').filter(|_| !part.foreign) {
            let dollar = at + found;
            literal.push_str(&text[at..dollar]);
            let rest = &text[dollar + 1..];
            let name = &rest[..name_length(rest)];
            if name.is_empty() {
                literal.push('$');
                at = dollar + if rest.starts_with('$') { 2 } else { 1 };
                continue;
            }
            at = dollar + 1 + name.len();
            let place = url.part(part.start + dollar, part.start + at);
            if has_query {
                columns.push((name.to_owned(), place));
            } else {
                options.fault(no_query(name, place));
            }
            pieces.push(UrlPiece::Literal(std::mem::take(&mut literal)));
            pieces.push(UrlPiece::Column(name.to_owned()));
        }
        literal.push_str(&text[at..]);
    }
    pieces.push(UrlPiece::Literal(literal));
    pieces.retain(|piece| !matches!(piece, UrlPiece::Literal(literal) if literal.is_empty()));
    (pieces, columns)
}

fn no_query(name: &str, place: Span) -> Diagnostic {
    let message = format!("`${name}` needs an `on_start_query` that gives its value");
    Diagnostic::new(place, message)
        .help("add `on_start_query = 'SELECT …'`, or write `$$` for a dollar sign")
}

/// Returns every `$name` that was written in a text which is sent as it is.
fn dollar_names(text: &Text) -> Vec<(String, Span)> {
    let mut names = Vec::new();
    for part in text.parts().iter().filter(|part| !part.foreign) {
        let mut at = 0;
        while let Some(found) = part.text[at..].find('$') {
            let dollar = at + found;
            let rest = &part.text[dollar + 1..];
            let name = &rest[..name_length(rest)];
            at = dollar + 1 + name.len().max(usize::from(rest.starts_with('$')));
            if !name.is_empty() {
                let place = text.part(part.start + dollar, part.start + at);
                names.push((name.to_owned(), place));
            }
        }
    }
    names
}

fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Checks the URL as it is with any values, and returns its scheme.
fn check_url(options: &mut Options<'_>, url: &Text, pieces: &[UrlPiece]) -> Option<String> {
    // No host has this label, so a column before the path shows.
    const VALUE: &str = "omlsp-column";
    let filled: String = pieces
        .iter()
        .map(|piece| match piece {
            UrlPiece::Literal(literal) => literal.as_str(),
            UrlPiece::Column(_) => VALUE,
        })
        .collect();
    let parsed = Url::parse(&filled).ok().filter(|parsed| parsed.has_host());
    // The text may hold a key, so messages do not repeat it.
    let fault = match parsed {
        Some(parsed) if !matches!(parsed.scheme(), "ws" | "wss") => {
            let message = format!("`{}` is not the scheme of a WebSocket", parsed.scheme());
            Diagnostic::new(url.span, message).label("expected `ws://` or `wss://`")
        }
        Some(parsed) if parsed.authority().contains(VALUE) => {
            let message = "a `$column` cannot be part of the host";
            let text = url.expose();
            let start = text.find('$').unwrap_or(0);
            let length = name_length(text.get(start + 1..).unwrap_or(""));
            Diagnostic::new(url.part(start, start + 1 + length), message)
                .label("expected it in the path or the query")
        }
        Some(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            Diagnostic::new(url.span, "credentials in a URL are not sent")
                .help("use `headers.Authorization` with a secret")
        }
        // RFC 6455 section 3: fragments are meaningless and must not be used.
        Some(parsed) if parsed.fragment().is_some() => {
            Diagnostic::new(url.span, "a WebSocket address has no `#` part")
                .help("write `%23` for a `#` in the path or the query")
        }
        Some(parsed) if parsed.as_str().into_client_request().is_ok() => {
            return Some(parsed.scheme().to_owned());
        }
        _ => Diagnostic::new(url.span, "`url` is not a WebSocket address")
            .label("expected `ws://host/path` or `wss://host/path`"),
    };
    options.fault(fault);
    None
}
