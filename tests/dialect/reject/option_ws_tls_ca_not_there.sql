-- A file of certificates that is not there.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    tls.ca = 'tests/dialect/reject/not-there.pem',
);
