-- A property that the client does not know.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    properties.sasl.mechanisn = 'PLAIN',
);
