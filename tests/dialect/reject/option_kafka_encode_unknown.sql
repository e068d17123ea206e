-- `encode` is json or avro.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    encode = 'protobuf',
);
