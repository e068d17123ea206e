-- A function that DuckDB does not know.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE VIEW prices AS SELECT middle(price) FROM rows_in;
