-- Kafka as a source.
--
-- Offsets are kept in the state, in the transaction of the rows they belong to: after a crash no message
-- is lost and none counts twice. `group_id` is what the brokers see. A consumer without a position begins
-- at `scan.startup.mode`.

CREATE TABLE kafka_json (symbol STRING, price DOUBLE) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'prices',
    group_id = 'omlsp',
    scan.startup.mode = 'earliest',
    encode = 'json',
    jq = '.quotes[]',
    on_error = 'dead_letter',
    timestamp_unit = 'ms',
);

-- Avro by the schemas of a registry; everything under `properties.` goes to the client as it is.
CREATE SOURCE kafka_avro (symbol STRING, price DOUBLE) WITH (
    connector = 'kafka',
    properties.bootstrap.server = 'broker-1:9093,broker-2:9093',
    topic = 'prices_avro',
    scan.startup.mode = 'latest',
    encode = 'avro',
    registry = 'http://127.0.0.1:8081',
    properties.security.protocol = 'SASL_SSL',
    properties.sasl.mechanism = 'SCRAM-SHA-512',
    properties.sasl.username = 'reader',
    properties.sasl.password = SECRET kafka_password,
);

CREATE SECRET kafka_password WITH (backend = 'meta') AS 'password';

CREATE SOURCE kafka_third_name (symbol STRING)
WITH (connector = 'kafka', properties.bootstrap.servers = '127.0.0.1:9092', topic = 'prices');
