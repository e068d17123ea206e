-- A connection that is not encrypted has no certificate.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'ws://stream.example.com/rows',
    tls.ca = 'tests/dialect/accept/ca.pem',
);
