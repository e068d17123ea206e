-- At least one row is made.

CREATE SOURCE rows_in (n BIGINT) WITH (
    connector = 'generate',
    rows = 0,
);
