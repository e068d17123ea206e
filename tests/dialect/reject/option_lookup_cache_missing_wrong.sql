-- `lookup.cache.missing` is true or false.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    lookup.cache = 'lru',
    lookup.cache.missing = 'no',
);
