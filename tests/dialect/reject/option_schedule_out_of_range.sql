-- A minute that there is not.

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', schedule = '99 * * * *');
