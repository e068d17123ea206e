-- An option under a prefix that there is not; a near one is suggested.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    header.Accept = 'application/json',
);
