-- A user name with a colon cannot be sent by basic authentication.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'basic',
    auth.username = 'reader:1',
    auth.password = 'password',
);
