-- A rate of nothing.

CREATE SOURCE rows_in (n BIGINT) WITH (
    connector = 'generate',
    rows_per_second = 0,
);
