-- A URL without a scheme.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    encode = 'avro',
    registry = '127.0.0.1:8081',
);
