-- Subscriptions are numbered.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    subscribe.first = '{}',
);
