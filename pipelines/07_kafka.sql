-- 7. To Kafka, as JSON and as Avro.
--
-- All files of a folder are one pipeline: these sinks read what 01_tickers.sql and 03_shared_source.sql
-- define, so they run together with those.
--
--     omlsp run pipelines/01_tickers.sql pipelines/03_shared_source.sql pipelines/07_kafka.sql
--
-- A sink keeps its place. When the broker is away nobody else waits, and when it is back the sink goes on
-- where it was; a row may then come twice, but none is missing.

-- `key` names the columns that make the message's key: a symbol always goes to the same partition.
CREATE SINK tickers_to_kafka FROM tickers WITH (
    connector = 'kafka',
    server = '${KAFKA:-127.0.0.1:9092}',
    topic = 'tickers',
    key = 'symbol',
    encode = 'json',
    headers.origin = 'kucoin',
);

-- With Avro the schema is that of the subject `movers-value` in the registry; if there is none yet, it is
-- made from the view's types and registered. What stands under `properties.` goes to the client as it is
-- (TLS, SASL).
CREATE SINK movers_to_kafka FROM movers WITH (
    connector = 'kafka',
    server = '${KAFKA:-127.0.0.1:9092}',
    topic = 'movers',
    key = 'symbol',
    encode = 'avro',
    registry = '${SCHEMA_REGISTRY:-http://127.0.0.1:8081}',
    compression = 'zstd',
    snapshot = 'false',
);
