-- A type that DuckDB does not know.

CREATE SOURCE rows_in (a BIGNT) WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');
