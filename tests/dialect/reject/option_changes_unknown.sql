-- `changes` is op.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE MATERIALIZED VIEW counts AS SELECT symbol, count(*) AS n FROM rows_in GROUP BY symbol;

CREATE SINK rows_out FROM counts WITH (
    connector = 'stdout',
    changes = 'all',
);
