-- Kafka as a sink.
--
-- The producer is idempotent, compresses with lz4 unless `compression` (none, gzip, snappy, lz4, zstd) says
-- otherwise, and delivers at least once. What stands under `properties.` goes to the client as it is.

CREATE SOURCE kafka_sink_rows (exchange STRING, symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE SINK kafka_sink_json FROM kafka_sink_rows WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'prices',
);

-- `key` names one column or several; with Avro the schema is the subject's, `<topic>-value`.
CREATE SINK kafka_sink_avro FROM kafka_sink_rows WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'prices_avro',
    encode = 'avro',
    registry = 'http://127.0.0.1:8081',
    key = 'exchange, symbol',
    headers.origin = 'example',
    compression = 'zstd',
    properties.linger.ms = 50,
);

CREATE SINK kafka_sink_explicit FROM kafka_sink_rows WITH (
    connector = 'kafka',
    properties.bootstrap.servers = '127.0.0.1:9092',
    topic = 'prices_again',
    encode = 'json',
    key = 'symbol',
    snapshot = false,
);
