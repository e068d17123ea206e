-- `n` is a BIGINT.

CREATE SOURCE rows_in (n INTEGER) WITH (
    connector = 'generate',
    rows = 10,
);
