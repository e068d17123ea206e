-- A batch has at least one row.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    batch.max_rows = 0,
);
