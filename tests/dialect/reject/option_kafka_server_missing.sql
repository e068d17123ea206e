-- A required option that is missing.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'kafka',
    topic = 'rows',
);
