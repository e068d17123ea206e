-- `on_error` is dead_letter, skip or fail.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    on_error = 'ignore',
);
