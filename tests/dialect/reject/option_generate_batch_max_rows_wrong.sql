-- A batch has at least one row.

CREATE SOURCE rows_in (n BIGINT) WITH (
    connector = 'generate',
    batch.max_rows = 0,
);
