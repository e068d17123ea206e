-- A word that is no month.

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', schedule = '0 0 1 FOO *');
