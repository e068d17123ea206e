-- An aggregate beside a column that is not grouped.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE MATERIALIZED VIEW prices AS SELECT symbol, avg(price) AS mean FROM rows_in;
