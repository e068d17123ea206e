-- A query over a relation that nobody defines.

CREATE SOURCE pushed (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/$symbol',
    on_start_query = 'SELECT symbol FROM markets',
);
