-- A header that the client sets itself.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    'headers.Content-Length' = '5',
);
