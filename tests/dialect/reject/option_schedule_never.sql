-- A day that never comes.

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', schedule = '0 0 31 2 *');
