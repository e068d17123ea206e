-- A header name with a space.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    'headers.X Y' = 'z',
);
