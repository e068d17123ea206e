-- A jq filter that does not compile; the caret is inside the filter.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    jq = '.data[] | {a: .b',
);
