-- A quiet connection would be closed before its ping is answered.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    ping_interval = '30s',
    idle_timeout = '10s',
);
