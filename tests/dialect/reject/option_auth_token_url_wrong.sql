-- A URL without a scheme.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'oauth2',
    auth.client_id = 'omlsp',
    auth.client_secret = 'password',
    auth.token_url = 'login.example.com/token',
);
