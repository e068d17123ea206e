-- Client credentials without the place to send them to.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'oauth2',
    auth.client_id = 'omlsp',
    auth.client_secret = 'password',
);
