-- A required option that is missing.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    group_id = 'omlsp',
);
