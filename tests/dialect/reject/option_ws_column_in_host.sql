-- A row must not decide who is connected to.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://$host.example.com/rows',
    on_start_query = 'SELECT 1 AS host',
);
