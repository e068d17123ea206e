-- A time zone that there is not; a near one is suggested.

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', schedule = '0 9 * * *', timezone = 'Europe/Berln');
