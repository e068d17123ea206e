-- An option of another kind.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'bearer',
    auth.token = 'token',
    auth.username = 'reader',
);
