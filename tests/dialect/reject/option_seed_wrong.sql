-- A seed that is no number.

CREATE SOURCE rows_in (n BIGINT) WITH (
    connector = 'generate',
    seed = 'lucky',
);
