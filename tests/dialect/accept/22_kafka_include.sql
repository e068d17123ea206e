-- What a Kafka message carries beside its rows.
--
-- INCLUDE makes columns of it, after those of the list: the key and headers as VARCHAR, or as BLOB where they are
-- no text; the partition as INTEGER, the offset as BIGINT, the timestamp as TIMESTAMP. Without AS a column has
-- the part's name after `kafka_`. A message of several rows gives each of them the same.

CREATE TABLE include_latest (
    price  DOUBLE,
    symbol VARCHAR AS (split_part(message_key, '@', 1)),
    late   INTERVAL AS (TRIGGER_TIME() - sent_at),
    PRIMARY KEY (message_key),
)
INCLUDE key AS message_key
INCLUDE partition
INCLUDE offset
INCLUDE timestamp AS sent_at
INCLUDE header 'origin' AS origin
INCLUDE header 'trace' BLOB AS trace
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'trades');

CREATE VIEW include_lag AS
SELECT kafka_partition, max(kafka_offset) AS newest, max(sent_at) AS sent_at
FROM include_latest
GROUP BY kafka_partition;

CREATE SOURCE include_raw (price DOUBLE)
INCLUDE key BYTEA
INCLUDE header 'origin'
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'trades');

CREATE VIEW include_raw_keys AS SELECT hex(kafka_key) AS raw_key, kafka_header_origin FROM include_raw;
