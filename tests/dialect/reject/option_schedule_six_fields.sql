-- Cron has five fields here; seconds are what `interval` is for.

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', schedule = '0 * * * * *');
