-- A duration with a unit that there is not.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    timeout = '2 weeks',
);
