-- A file of certificates that is not there.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    tls.ca = 'tests/dialect/reject/not-there.pem',
);
