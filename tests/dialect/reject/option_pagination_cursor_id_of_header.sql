-- The cursor comes from the header, not from a row.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'header-based',
    pagination.next_header = 'X-Next',
    pagination.cursor_id = 'id',
);
