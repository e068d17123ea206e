-- A field cannot be a value and an object.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    method = 'POST',
    json.filter = 'all',
    json.filter.active = true,
);
