-- A query that is none; the caret is inside the option.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SOURCE pushed (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/$symbol',
    on_start_query = 'SELECT symbol FROM',
);
