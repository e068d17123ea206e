//! A producer that does nothing but send, for what is measured beside it.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

/// Far longer than the broker takes to acknowledge everything.
const FLUSH_MAX: Duration = Duration::from_secs(120);

/// A producer with the sink's own settings.
pub struct Bare(BaseProducer);

impl Bare {
    pub fn new(server: String) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", server)
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.kbytes", "65536")
            .set("delivery.report.only.error", "true")
            .create();
        Self(producer.expect("the settings are valid"))
    }

    pub fn send(&self, payload: &[u8], topic: &str) {
        let mut record = BaseRecord::<(), [u8]>::to(topic).payload(payload);
        while let Err((error, back)) = self.0.send(record) {
            let code = error.rdkafka_error_code();
            assert_eq!(code, Some(RDKafkaErrorCode::QueueFull));
            record = back;
            self.0.poll(Duration::from_millis(5));
        }
    }

    /// Has the connection made: a producer that is given messages before waits half a second for its number.
    pub fn connect(&self, topic: &str) {
        let metadata = self.0.client().fetch_metadata(Some(topic), FLUSH_MAX);
        metadata.expect("the broker answers");
    }

    /// Waits until the broker has acknowledged everything; the client's own way looks every 100 ms only.
    pub fn flush(&self) {
        let start = Instant::now();
        while self.0.in_flight_count() > 0 {
            assert!(
                start.elapsed() < FLUSH_MAX,
                "the broker acknowledges everything"
            );
            self.0.poll(Duration::from_millis(1));
        }
    }
}

/// Sends ready payloads; returns how long that took, connection and acknowledgements included.
pub fn bare_producer(server: String, payloads: &[impl AsRef<[u8]>], topic: &str) -> Duration {
    let start = Instant::now();
    let producer = Bare::new(server);
    producer.connect(topic);
    for payload in payloads {
        producer.send(payload.as_ref(), topic);
    }
    producer.flush();
    start.elapsed()
}
