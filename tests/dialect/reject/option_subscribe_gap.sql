-- A number is left out: one message may have been forgotten.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    subscribe.0 = '{}',
    subscribe.2 = '{}',
);
