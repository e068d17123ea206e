-- A signature without a secret.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'hmac-sha256',
    auth.header = 'X-Signature',
);
