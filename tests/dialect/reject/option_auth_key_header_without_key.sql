-- A header without the key that goes into it.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'hmac-sha256',
    auth.secret = 'signing secret',
    auth.header = 'X-Signature',
    auth.key_header = 'X-Key',
);
