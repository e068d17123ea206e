-- A refresh without the query that would be asked again.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    on_start_refresh = '1m',
);
