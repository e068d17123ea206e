-- An option of another kind of pages.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'cursor-based',
    pagination.page_param = 'page',
);
