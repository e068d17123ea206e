//! The snippets of the documentation that read or write Kafka, against the broker.

use serde_json::json;

use crate::broker::{available, shared};
use crate::pipeline::Pipeline;
use crate::support::snippets::of;

#[test]
fn every_snippet_about_kafka_runs() {
    if !available() {
        return;
    }
    let broker = shared();
    // What the snippets read, and where they write.
    let order = json!({"value": r#"{"id": 1, "amount": "2.50"}"#, "partition": 0});
    broker.peer("topic", "orders", &["1"], "");
    broker.peer("produce", "orders", &[], &format!("{order}\n"));
    broker.peer("topic", "ticks", &["1"], "");
    let snippets = of("sql").into_iter();
    let mut ran = 0;
    for snippet in snippets.filter(|snippet| snippet.text.contains("'kafka'")) {
        let sql = snippet.text.replace("broker:9092", &broker.server());
        let output = Pipeline::new(&broker.server(), &sql).once();
        let complains = output.stderr.contains("WARN") || output.stderr.contains("ERROR");
        assert!(!complains, "{}\n{output}", snippet.place);
        ran += 1;
    }
    assert!(ran >= 2, "{ran}");
    let written = broker.peer("consume", "ticks", &["10"], "");
    assert_eq!(written.len(), 10, "{written:?}");
}
