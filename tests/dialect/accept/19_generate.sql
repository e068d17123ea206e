-- The generate source: rows out of nothing, the same in every run.
--
-- It fills `n`, the number of the row from 0, and `seed`, its option; everything else is a generated
-- column over them. With `rows` it ends; without it goes on, at `rows_per_second` if that is given.

CREATE SOURCE generate_prices (
    n       BIGINT,
    seed    BIGINT,
    symbol  STRING    AS ('S' || (n % 10)),
    price   DOUBLE    AS (100 + hash(n, seed) % 1000 / 100.0),
    made_at TIMESTAMP AS (make_timestamp_ms(1767225600000 + n * 1000)),
) WITH (connector = 'generate', rows = 1000, rows_per_second = 100, seed = 7, batch.max_rows = 50);

CREATE TABLE generate_endless (n BIGINT PRIMARY KEY) WITH (connector = 'generate');

CREATE SINK generate_sink FROM (SELECT symbol, price FROM generate_prices WHERE n % 100 = 0)
WITH (connector = 'stdout');
