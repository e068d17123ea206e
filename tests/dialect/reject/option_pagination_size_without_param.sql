-- A size without the name it is sent under.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'page-based',
    pagination.size = 100,
);
