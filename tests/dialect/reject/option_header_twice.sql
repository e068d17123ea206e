-- Header names are compared without regard to case.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    headers.Accept = 'text/csv',
    headers.accept = 'application/json',
);
