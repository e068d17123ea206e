//! The client's configuration, and what the client says while it works.
//!
//! Knows nothing of rows. Called by the reader and the writer, and at validation for what only the client
//! can judge: the names and values under `properties.*`.

use std::collections::VecDeque;
use std::sync::Mutex;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;

use super::options::{Compression, Connection, Property, SinkOptions, SourceOptions};
use crate::diagnostic::{Diagnostic, nearest};

/// The group that a consumer without `group_id` names. It is never joined and nothing is committed to it,
/// but the client assigns no partitions without one.
const GROUP_UNNAMED: &str = "omlsp";

/// Bytes that the producer holds before `write` has to wait.
const PRODUCER_QUEUE_KIB: &str = "65536";

/// Bytes that the consumer fetches ahead.
const CONSUMER_QUEUE_KIB: &str = "32768";

/// How long the consumer does not fetch once it holds so much; its own second would be the pace of the source.
const FULL_QUEUE_PAUSE_MS: &str = "10";

/// Messages that the consumer holds at least before it counts as full: the bytes are the bound.
const QUEUED_MESSAGES_MIN: &str = "1000000";

/// The longest pause between attempts to connect: a broker that is back is found soon.
const RECONNECT_PAUSE_MAX_MS: &str = "2000";

/// Properties that are often given, for suggestions. The client itself knows all of its own.
const USUAL_PROPERTIES: [&str; 24] = [
    "batch.size",
    "client.id",
    "client.rack",
    "fetch.max.bytes",
    "isolation.level",
    "linger.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
];

/// Java's properties that have another name, or another form, here.
const JAVA_PROPERTIES: [(&str, &str); 6] = [
    (
        "sasl.jaas.config",
        "use `properties.sasl.username` and `properties.sasl.password`",
    ),
    (
        "ssl.truststore.location",
        "use `properties.ssl.ca.location` with a PEM file",
    ),
    (
        "ssl.truststore.password",
        "use `properties.ssl.ca.location` with a PEM file",
    ),
    (
        "ssl.keystore.type",
        "`properties.ssl.keystore.location` is always PKCS #12",
    ),
    ("key.serializer", "use `key`"),
    ("value.serializer", "use `encode`"),
];

/// Returns the fault of a property that the client does not take.
pub(super) fn check_property((name, key, value): &Property) -> Option<Diagnostic> {
    let mut config = ClientConfig::new();
    config.set(name, value.expose());
    let error = config.create_native_config().err()?;
    // The client knows some of Java's names, only to refuse them.
    let java = JAVA_PROPERTIES.iter().find(|(java, _)| java == name);
    let unknown = java.is_some()
        || matches!(
            &error,
            KafkaError::ClientConfig(_, text, _, _) if text.starts_with("No such")
        );
    if !unknown {
        let message = format!("`properties.{name}` cannot be `{}`", value.shown());
        return Some(Diagnostic::new(value.span, message));
    }
    let message = format!("the Kafka client has no property `{name}`");
    let fault = Diagnostic::new(*key, message);
    Some(match java {
        Some((_, advice)) => fault.help(*advice),
        None => match nearest(name, USUAL_PROPERTIES) {
            Some(known) => fault.help(format!("did you mean `properties.{known}`?")),
            None => fault.help("the names are those of librdkafka's CONFIGURATION.md"),
        },
    })
}

/// What both roles have in common; the user's properties come last and win.
fn common(connection: &Connection) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", connection.server.expose())
        .set("client.id", "omlsp")
        .set("socket.keepalive.enable", "true")
        .set("log.connection.close", "false")
        .set("reconnect.backoff.max.ms", RECONNECT_PAUSE_MAX_MS)
        .set_log_level(RDKafkaLogLevel::Notice);
    let given = |prefix: &str| {
        let mut names = connection.properties.iter().map(|(name, ..)| name);
        names.any(|name| name.starts_with(prefix))
    };
    if !given("ssl.ca") {
        // OpenSSL is linked statically and does not know where the system keeps its authorities.
        config.set("ssl.ca.location", "probe");
    }
    config
}

fn with_properties(mut config: ClientConfig, connection: &Connection) -> ClientConfig {
    for (name, _, value) in &connection.properties {
        config.set(name, value.expose());
    }
    config
}

/// Returns the configuration of a source's client.
pub(super) fn consumer_config(options: &SourceOptions) -> ClientConfig {
    let mut config = common(&options.connection);
    let group = options.group_id.as_ref();
    config
        .set("group.id", group.map_or(GROUP_UNNAMED, |id| id.expose()))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A run that ends with what is there has to know when that is.
        .set("enable.partition.eof", "true")
        // A position that the broker no longer has is found out and told, not passed over.
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", CONSUMER_QUEUE_KIB)
        .set("queued.min.messages", QUEUED_MESSAGES_MIN)
        .set("fetch.queue.backoff.ms", FULL_QUEUE_PAUSE_MS);
    with_properties(config, &options.connection)
}

/// How many messages travel in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batching {
    Many,
    /// One, so that a refused message takes no others with it.
    One,
}

/// Returns the configuration of a sink's client.
pub(super) fn producer_config(options: &SinkOptions, batching: Batching) -> ClientConfig {
    let compression = match options.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let mut config = common(&options.connection);
    config
        .set("enable.idempotence", "true")
        .set("compression.type", compression)
        // A message waits for its broker as long as it takes: given up, it could only be sent again.
        .set("message.timeout.ms", "0")
        .set("queue.buffering.max.kbytes", PRODUCER_QUEUE_KIB)
        // What arrived is known from the count of what has not.
        .set("delivery.report.only.error", "true")
        // The partitions that Java's clients choose for the same keys.
        .set("partitioner", "murmur2_random");
    let mut config = with_properties(config, &options.connection);
    if batching == Batching::One {
        config.set("batch.num.messages", "1");
    }
    config
}

/// Listens to a client.
#[derive(Default)]
pub(super) struct Listener {
    trouble: Mutex<Option<String>>,
    failed: Mutex<VecDeque<FailedMessage>>,
}

/// A message that did not arrive.
pub(super) struct FailedMessage {
    pub code: Option<RDKafkaErrorCode>,
    pub error: String,
    pub payload: String,
}

/// Failures kept until the writer looks: with more, the first ones say enough.
const FAILED_MAX: usize = 10_000;

/// Of a refused message this much is kept for the record.
const PAYLOAD_BYTES_MAX: usize = 4096;

impl Listener {
    /// Returns the latest trouble since the last call.
    pub(super) fn take_trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .expect("no panic happens under this lock")
            .take()
    }

    /// Returns the messages that failed since the last call, in their order.
    pub(super) fn take_failed(&self) -> VecDeque<FailedMessage> {
        let mut failed = self
            .failed
            .lock()
            .expect("no panic happens under this lock");
        std::mem::take(&mut failed)
    }

    fn note(&self, text: String) {
        *self
            .trouble
            .lock()
            .expect("no panic happens under this lock") = Some(text);
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // `[thrd:host:port/id]: ` in front says which of the client's threads it was.
        let text = message.split_once("]: ").map_or(message, |(_, text)| text);
        if matches!(
            level,
            RDKafkaLogLevel::Emerg
                | RDKafkaLogLevel::Alert
                | RDKafkaLogLevel::Critical
                | RDKafkaLogLevel::Error
        ) {
            self.note(text.to_owned());
        }
        tracing::debug!(target: "omlsp::kafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let all_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        let mut trouble = self
            .trouble
            .lock()
            .expect("no panic happens under this lock");
        // That all brokers are down says less than why one of them is.
        if !(all_down && trouble.is_some()) {
            *trouble = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Listener {}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else {
            return;
        };
        let mut failed = self
            .failed
            .lock()
            .expect("no panic happens under this lock");
        if failed.len() < FAILED_MAX {
            failed.push_back(FailedMessage {
                code: error.rdkafka_error_code(),
                error: shown(error),
                payload: shown_payload(message.payload().or(message.key())),
            });
        }
    }
}

/// Returns an error in the client's own words.
pub(super) fn shown(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        // `Message production error: MessageSizeTooLarge (Broker: Message size too large)`
        Some(code) => code.to_string(),
        None => error.to_string(),
    }
}

/// Returns the first bytes of a message as text, for the record.
pub(super) fn shown_payload(payload: Option<&[u8]>) -> String {
    let bytes = payload.unwrap_or_default();
    let mut text =
        String::from_utf8_lossy(&bytes[..bytes.len().min(PAYLOAD_BYTES_MAX)]).into_owned();
    if bytes.len() > PAYLOAD_BYTES_MAX {
        text.push('…');
    }
    text
}
