-- An API key without the key.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'api-key',
    auth.header = 'X-API-Key',
);
