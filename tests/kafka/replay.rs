//! Records of Kafka pipelines: with a broker and a registry while they are made, with neither when they are
//! played.

use serde_json::json;

use crate::broker::{available, shared};
use crate::pipeline::Pipeline;
use crate::stage::Stage;
use crate::support::exchanges::Exchanges;
use crate::support::http::Server;
use crate::support::registry::Registry;

fn example(file: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    std::fs::read_to_string(path.join(file)).expect("the pipeline is part of the repository")
}

/// Fills one topic with JSON and one with Avro.
fn produce(registry: &Registry) {
    shared().peer("topic", "replay-json", &["2"], "");
    shared().peer("topic", "replay-avro", &["2"], "");
    let sql = "CREATE TABLE made (n BIGINT, name VARCHAR AS ('row ' || n)) WITH (connector = 'generate', rows = 500);
        CREATE SINK avro FROM made WITH (connector = 'kafka', server = '${KAFKA}', topic = 'replay-avro',
            encode = 'avro', registry = '${REGISTRY}', key = 'n');";
    let producer = Pipeline::new(&shared().server(), sql).env("REGISTRY", &registry.url());
    producer.once();
    let messages = [
        json!({"value": "{\"a\":1}", "key": "k1", "partition": 0, "headers": [["origin", "first"]]}),
        json!({"value": "no JSON", "partition": 1}),
        json!({"value": "[{\"a\":2},{\"a\":3}]", "key_hex": "00ff41", "partition": 1}),
    ];
    let lines: Vec<String> = messages.iter().map(|line| format!("{line}\n")).collect();
    shared().peer("produce", "replay-json", &[], &lines.concat());
}

#[test]
fn kafka_pipelines_replay_to_the_same_bytes_without_a_broker() {
    if !available() {
        return;
    }
    let registry = Registry::start();
    produce(&registry);
    let sources = "
        CREATE TABLE parts (a BIGINT) INCLUDE key BLOB AS raw_key INCLUDE partition INCLUDE offset
            INCLUDE timestamp INCLUDE header 'origin' AS origin
            WITH (connector = 'kafka', server = '${KAFKA}', topic = 'replay-json');
        CREATE SOURCE names (n BIGINT, name VARCHAR) WITH (connector = 'kafka', server = '${KAFKA}',
            topic = 'replay-avro', encode = 'avro', registry = '${SCHEMA_REGISTRY}');
        CREATE MATERIALIZED VIEW count_of_names AS SELECT count(*) AS n, sum(n) AS total FROM names;
        CREATE SINK names_again FROM names WITH (connector = 'kafka', server = '${KAFKA}',
            topic = 'replay-again', key = 'n');
        CREATE SINK out FROM parts WITH (connector = 'stdout');";
    let files = ["01_tickers.sql", "03_shared_source.sql", "07_kafka.sql"];
    let examples: Vec<String> = files.iter().map(|file| example(file)).collect();
    let exchanges = Server::start();
    Exchanges::new(3).mount(&exchanges);
    let stage = Stage::new(&format!("{}\n{sources}", examples.join("\n")))
        .env("KAFKA", shared().server())
        .env("SCHEMA_REGISTRY", registry.url())
        .env("KUCOIN_URL", exchanges.url());
    stage.recording(["--once"]).run();
    drop((exchanges, registry));
    assert_eq!(stage.lines("message").len(), 503);
    // Nobody listens there any more, and nobody is asked.
    let left = stage.replay_twice();
    let parts = left.rows("data.parts");
    assert_eq!(parts.len(), 3, "{parts:?}");
    let first = parts.iter().find(|row| row["a"] == 1).unwrap();
    assert_eq!(
        (&first["origin"], &first["kafka_offset"]),
        (&json!("first"), &json!(0))
    );
    let total = left.rows("data.count_of_names");
    assert_eq!(total[0]["n"], json!(500));
    let captured = |name: &str| {
        let file = left.files.iter().find(|(file, _)| file == name);
        let (_, bytes) = file.unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8_lossy(bytes).lines().count()
    };
    assert_eq!(captured("names_again.jsonl"), 500);
    assert_eq!(captured("tickers_to_kafka.jsonl"), 40);
    assert!(captured("movers_to_kafka.jsonl") > 0);
    let errors = left.rows("omlsp.error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["payload"], json!("no JSON"));
}
