-- A duration that is none.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    ping_interval = 'often',
);
