-- Nothing is left that the answer could fill.

CREATE SOURCE rows_in (a BIGINT AS (1), b BIGINT AS (2))
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');
