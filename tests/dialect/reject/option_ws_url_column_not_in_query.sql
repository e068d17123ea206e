-- A column in the URL that the query does not give; a near one is suggested.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SOURCE pushed (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/$symbl',
    on_start_query = 'SELECT symbol FROM rows_in',
);
