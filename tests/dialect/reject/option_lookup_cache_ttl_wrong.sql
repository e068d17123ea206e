-- A duration without a unit.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    lookup.cache = 'lru',
    lookup.cache.ttl = '60',
);
