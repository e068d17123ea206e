-- A jq filter that does not compile.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    jq = 'select(.a',
);
