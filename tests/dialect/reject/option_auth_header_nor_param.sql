-- An API key without a place.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'api-key',
    auth.key = 'key',
);
