-- A rate is a number per duration.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    rate_limit = '30 a minute',
);
