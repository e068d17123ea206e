-- Which header holds the cursor?

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'header-based',
);
