-- A rate that lets nothing through.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    rate_limit = '0/1s',
);
