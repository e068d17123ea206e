-- A header name with a space.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'api-key',
    auth.key = 'key',
    auth.header = 'X API Key',
);
