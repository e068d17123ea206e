-- A way to send credentials that there is not.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'oauth2',
    auth.client_id = 'omlsp',
    auth.client_secret = 'password',
    auth.token_url = 'https://login.example.com/token',
    auth.client_auth = 'cookie',
);
