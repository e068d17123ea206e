-- A prefix without a name after the dot.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    headers. = 'application/json',
);
