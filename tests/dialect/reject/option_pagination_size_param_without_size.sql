-- A name without the size that is sent.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'page-based',
    pagination.size_param = 'limit',
);
