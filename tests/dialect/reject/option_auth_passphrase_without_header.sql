-- A passphrase without the header it goes into.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    auth.type = 'hmac-sha256',
    auth.secret = 'signing secret',
    auth.header = 'X-Signature',
    auth.passphrase = 'phrase',
);
