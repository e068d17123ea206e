-- A file without a certificate.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    tls.ca = 'tests/dialect/accept/secret.txt',
);
