//! The options of the `kafka` connector, typed and checked.
//!
//! Names no client: what the client alone can judge (the names under `properties.*`) is left to it.

use url::Url;

use crate::batch::Schema;
use crate::connector::row_options::{HeaderRules, RowOptions, take_headers};
use crate::diagnostic::{Diagnostic, Span};
use crate::options::{Options, Text};

/// The names of the option that lists the brokers.
const SERVER_NAMES: [&str; 3] = [
    "server",
    "properties.bootstrap.server",
    "properties.bootstrap.servers",
];

/// Apache Kafka's bound: `org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH`.
const TOPIC_LENGTH_MAX: usize = 249;

/// Client properties that are set by an option of ours, or that the guarantees rest on.
const OWNED_PROPERTIES: [(&str, &str); 12] = [
    ("transactional.id", "the producer does not use transactions"),
    (
        "delivery.report.only.error",
        "the sink counts on being told of failures only",
    ),
    (
        "enable.partition.eof",
        "the source has to know where a topic ends for now",
    ),
    ("group.id", "use `group_id`"),
    ("metadata.broker.list", "use `server`"),
    ("auto.offset.reset", "use `scan.startup.mode`"),
    ("compression.type", "use `compression`"),
    ("compression.codec", "use `compression`"),
    (
        "enable.auto.commit",
        "offsets are kept in the state, with the rows they belong to",
    ),
    (
        "enable.auto.offset.store",
        "offsets are kept in the state, with the rows they belong to",
    ),
    ("enable.idempotence", "the producer is always idempotent"),
    (
        "acks",
        "the producer is always idempotent, which waits for all replicas",
    ),
];

/// A property of the client, `properties.` cut off, with the place of its key.
pub(super) type Property = (String, Span, Text);

/// Asks the client whether it takes a property; returns the fault if not.
pub(super) type CheckProperty = fn(&Property) -> Option<Diagnostic>;

/// The form of a message's value.
#[derive(Clone, Debug)]
pub(super) enum Encoding {
    Json,
    /// Avro in Confluent's wire format, with its schema registry.
    Avro {
        registry: Text,
    },
}

/// Where a source without a cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartupMode {
    Earliest,
    Latest,
}

/// How the producer compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// What source and sink have in common.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub topic: String,
    /// `host:port`, separated by commas.
    pub server: Text,
    pub encoding: Encoding,
    /// What is passed to the client as it is.
    pub properties: Vec<Property>,
}

/// The options of a TABLE or SOURCE.
#[derive(Clone, Debug)]
pub(super) struct SourceOptions {
    pub connection: Connection,
    /// The consumer group that brokers and their tools show; the position is kept in our own state.
    pub group_id: Option<Text>,
    pub startup: StartupMode,
    pub rows: RowOptions,
}

/// The options of a SINK.
#[derive(Clone, Debug)]
pub(super) struct SinkOptions {
    pub connection: Connection,
    /// The key columns' places in the relation; empty for messages without a key.
    pub key: Vec<usize>,
    /// Sent with every message.
    pub headers: Vec<(String, Text)>,
    pub compression: Compression,
}

impl SourceOptions {
    /// Takes the options of a source; faults are noted in `options`.
    pub(super) fn take(options: &mut Options<'_>, check: CheckProperty) -> Option<Self> {
        let connection = Connection::take(options, (&["compression"], check));
        let group_id = options.text("group_id");
        let modes = [
            ("earliest", StartupMode::Earliest),
            ("latest", StartupMode::Latest),
        ];
        let startup = options
            .one_of("scan.startup.mode", &modes)
            .unwrap_or(StartupMode::Earliest);
        let jq_key = options.key_span("jq");
        let rows = RowOptions::take(options);
        let connection = connection?;
        if let (Some(jq_key), Encoding::Avro { .. }) = (jq_key, &connection.encoding) {
            let fault = Diagnostic::new(jq_key, "`jq` works on JSON, not with `encode = 'avro'`")
                .help("remove it, and select from the columns in a view");
            options.fault(fault);
        }
        Some(Self {
            connection,
            group_id,
            startup,
            rows: rows?,
        })
    }
}

impl SinkOptions {
    /// Takes the options of a sink of the given columns; faults are noted in `options`.
    pub(super) fn take(
        options: &mut Options<'_>,
        schema: &Schema,
        check: CheckProperty,
    ) -> Option<Self> {
        let connection = Connection::take(options, (&["group_id", "scan.startup.mode"], check));
        let key = take_key(options, schema);
        let headers = take_headers(options, HeaderRules::Any);
        let compressions = [
            ("none", Compression::None),
            ("gzip", Compression::Gzip),
            ("snappy", Compression::Snappy),
            ("lz4", Compression::Lz4),
            ("zstd", Compression::Zstd),
        ];
        let compression = options
            .one_of("compression", &compressions)
            .unwrap_or(Compression::Lz4);
        Some(Self {
            connection: connection?,
            key,
            headers,
            compression,
        })
    }
}

impl Connection {
    /// Takes what sources and sinks share; `foreign` are options that only the others have.
    fn take(options: &mut Options<'_>, (foreign, check): (&[&str], CheckProperty)) -> Option<Self> {
        let topic = take_topic(options);
        let server = take_server(options);
        let encoding = take_encoding(options);
        let properties = take_properties(options, foreign);
        let faults: Vec<Diagnostic> = properties.iter().filter_map(check).collect();
        faults.into_iter().for_each(|fault| options.fault(fault));
        Some(Self {
            topic: topic?,
            server: server?,
            encoding: encoding?,
            properties,
        })
    }
}

fn take_topic(options: &mut Options<'_>) -> Option<String> {
    let text = options.required_text("topic")?;
    let topic = text.expose();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let wrong = topic.char_indices().find(|(_, c)| !allowed(*c));
    let fault = if let Some((at, c)) = wrong {
        let place = text.part(at, at + c.len_utf8());
        Diagnostic::new(place, format!("`{c}` cannot be part of a topic's name"))
            .label("expected letters, digits, `.`, `_` and `-`")
    } else if matches!(topic, "" | "." | "..") || topic.len() > TOPIC_LENGTH_MAX {
        let expected = format!("expected 1 to {TOPIC_LENGTH_MAX} characters, not `.` or `..`");
        Diagnostic::new(
            text.span,
            format!("`{}` cannot be a topic's name", text.shown()),
        )
        .label(expected)
    } else {
        return Some(topic.to_owned());
    };
    options.fault(fault);
    None
}

fn take_server(options: &mut Options<'_>) -> Option<Text> {
    if SERVER_NAMES
        .iter()
        .all(|name| options.key_span(name).is_none())
    {
        options.text_of(&SERVER_NAMES);
        options.missing(SERVER_NAMES[0]);
        return None;
    }
    let text = options.text_of(&SERVER_NAMES)?;
    let mut start = 0;
    for server in text.expose().split(',') {
        if !is_server(server.trim()) {
            let place = text.part(start, start + server.len());
            let shown = if text.secret {
                text.shown()
            } else {
                server.trim()
            };
            let fault = Diagnostic::new(place, format!("`{shown}` is not a broker's address"))
                .label("expected `host:port`, several separated by commas");
            options.fault(fault);
            return None;
        }
        start += server.len() + 1;
    }
    Some(text)
}

/// `host`, `host:port` or `[v6]:port`, optionally with librdkafka's `PROTOCOL://` before it.
fn is_server(server: &str) -> bool {
    let address = server
        .split_once("://")
        .map_or(server, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let host_fits = if let Some(inner) = host.strip_prefix('[') {
        inner
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
    } else {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    host_fits && port_fits
}

fn take_encoding(options: &mut Options<'_>) -> Option<Encoding> {
    let encode_given = options.key_span("encode");
    let registry_key = options.key_span("registry");
    let avro = options.one_of("encode", &[("json", false), ("avro", true)]);
    let registry = options.text("registry");
    match (avro, registry_key) {
        // A wrong word was noted; whether a registry belongs to it cannot be said.
        (None, _) if encode_given.is_some() => None,
        (Some(true), None) => {
            let place = encode_given.unwrap_or(options.span());
            let fault = Diagnostic::new(place, "`encode = 'avro'` needs a schema registry")
                .help("add `registry = 'http://…'`");
            options.fault(fault);
            None
        }
        (Some(true), Some(_)) => {
            let registry = registry?;
            check_registry(options, &registry).then_some(Encoding::Avro { registry })
        }
        (_, Some(key)) => {
            let fault = Diagnostic::new(key, "`registry` has no meaning with `encode = 'json'`")
                .help("add `encode = 'avro'`, or remove it");
            options.fault(fault);
            None
        }
        (_, None) => Some(Encoding::Json),
    }
}

fn check_registry(options: &mut Options<'_>, registry: &Text) -> bool {
    let fits = Url::parse(registry.expose())
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !fits {
        // The text may hold a password before its `@`: it is not repeated.
        let fault = Diagnostic::new(registry.span, "`registry` is not an HTTP address")
            .label("expected `http://host:port` or `https://host`");
        options.fault(fault);
    }
    fits
}

fn take_properties(options: &mut Options<'_>, foreign: &[&str]) -> Vec<Property> {
    let properties = options.prefixed("properties.");
    for (name, key, _) in &properties {
        if let Some((_, advice)) = OWNED_PROPERTIES.iter().find(|(owned, _)| owned == name) {
            // The advice names the option of ours, which a sink or a source may not have.
            let named = advice
                .strip_prefix("use `")
                .map(|named| named.trim_end_matches('`'));
            let advice = match named.filter(|named| foreign.contains(named)) {
                Some(_) => "leave it out: it has no meaning here",
                None => advice,
            };
            let fault =
                Diagnostic::new(*key, format!("`properties.{name}` cannot be set")).help(advice);
            options.fault(fault);
        }
    }
    properties
}

/// Reads `key = 'a, b'` into the columns' places.
fn take_key(options: &mut Options<'_>, schema: &Schema) -> Vec<usize> {
    let mut key = Vec::new();
    let text = options.text("key");
    let Some(text) = text.filter(|_| !schema.fields().is_empty()) else {
        return key;
    };
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut start = 0;
    for part in text.expose().split(',') {
        let name = part.trim();
        let name_start = start + part.len() - part.trim_start().len();
        start += part.len() + 1;
        let place = text.part(name_start, name_start + name.len());
        match names
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
        {
            Some(index) if key.contains(&index) => {
                options.fault(Diagnostic::new(
                    place,
                    format!("column `{name}` is twice in the key"),
                ));
            }
            Some(index) => key.push(index),
            None => {
                let message = format!("the relation has no column `{name}`");
                let fault = Diagnostic::new(place, message)
                    .label("expected the names of columns, separated by commas")
                    .suggest(name, names.iter().copied());
                options.fault(fault);
            }
        }
    }
    key
}
