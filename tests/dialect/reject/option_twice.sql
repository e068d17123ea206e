-- An option that is given twice.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    method = 'GET',
    method = 'POST',
);
