-- `generate` fills `n` and `seed`; other columns need an expression.

CREATE SOURCE rows_in (n BIGINT, price DOUBLE) WITH (
    connector = 'generate',
    rows = 10,
);
