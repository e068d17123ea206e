-- A header that is also given under `headers.`.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'bearer',
    auth.token = 'token',
    headers.Authorization = 'Basic cmVhZGVy',
);
