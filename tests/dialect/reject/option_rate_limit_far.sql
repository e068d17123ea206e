-- A rate over a time that no clock can tell.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    rate_limit = '1/150000000000000d',
);
