-- A page has at least one row.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'page-based',
    pagination.size_param = 'limit',
    pagination.size = 0,
);
