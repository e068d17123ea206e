-- A cache of no rows.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    lookup.cache = 'lru',
    lookup.cache.max_rows = 0,
);
