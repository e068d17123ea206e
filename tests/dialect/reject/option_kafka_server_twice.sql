-- Two names of one option.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    properties.bootstrap.servers = '127.0.0.1:9093',
);
