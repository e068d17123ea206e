-- The cursor of pages that are counted.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'page-based',
    pagination.cursor_param = 'cursor',
);
