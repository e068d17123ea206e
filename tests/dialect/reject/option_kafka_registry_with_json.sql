-- A registry that nobody would ask.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    encode = 'json',
    registry = 'http://127.0.0.1:8081',
);
