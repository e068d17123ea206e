-- A column in the URL, and no query that would give it.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/$symbol',
);
