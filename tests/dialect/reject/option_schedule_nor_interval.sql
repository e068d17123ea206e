-- A polled source without either.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'https://api.example.com/rows');
