-- A topic with a space; the caret is under it.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'my rows',
);
