-- `scan.startup.mode` is earliest or latest.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    scan.startup.mode = 'first',
);
