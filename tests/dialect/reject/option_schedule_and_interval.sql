-- A polled source has a schedule or an interval, not both.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    schedule = '* * * * *',
);
