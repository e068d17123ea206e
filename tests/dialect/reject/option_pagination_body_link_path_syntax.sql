-- A path that is no jq filter.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    pagination.type = 'body_link-based',
    pagination.body_link_path = '.paging[',
);
