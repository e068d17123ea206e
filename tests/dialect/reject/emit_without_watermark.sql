-- No window closes where no watermark moves.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE MATERIALIZED VIEW counts AS SELECT symbol, count(*) AS n FROM rows_in GROUP BY symbol EMIT ON WINDOW CLOSE;
