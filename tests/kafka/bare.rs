//! A producer that does nothing but send, for what is measured beside it.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

/// Far longer than the broker takes to acknowledge everything.
const FLUSH_MAX: Duration = Duration::from_secs(120);

/// Sends ready payloads with the sink's own settings; returns how long that took, acknowledgements included.
pub fn bare_producer(server: String, payloads: &[impl AsRef<[u8]>], topic: &str) -> Duration {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", server)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.kbytes", "65536")
        .set("delivery.report.only.error", "true")
        .create()
        .expect("the settings are valid");
    let start = Instant::now();
    for payload in payloads {
        let mut record = BaseRecord::<(), [u8]>::to(topic).payload(payload.as_ref());
        while let Err((error, back)) = producer.send(record) {
            let code = error.rdkafka_error_code();
            assert_eq!(code, Some(RDKafkaErrorCode::QueueFull));
            record = back;
            producer.poll(Duration::from_millis(5));
        }
    }
    let flushed = producer.flush(FLUSH_MAX);
    flushed.expect("the broker acknowledges everything");
    start.elapsed()
}
