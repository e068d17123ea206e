-- Where a consumer begins is an option of its own.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    properties.auto.offset.reset = 'earliest',
);
