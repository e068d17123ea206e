-- A URL without a scheme.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'api.example.com/rows', interval = '10s');
