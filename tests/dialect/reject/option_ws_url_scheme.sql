-- A WebSocket has its own schemes.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'https://stream.example.com/rows',
);
