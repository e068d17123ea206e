-- Client credentials without a client.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'oauth2',
    auth.token_url = 'https://login.example.com/token',
    auth.client_secret = 'password',
);
