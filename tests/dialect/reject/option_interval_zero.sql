-- An interval of nothing.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '0s');
