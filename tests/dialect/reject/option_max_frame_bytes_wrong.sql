-- A size that is none.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    max_frame_bytes = 'huge',
);
