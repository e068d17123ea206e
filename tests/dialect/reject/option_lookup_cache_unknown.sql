-- A cache that there is not.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    lookup.cache = 'redis',
);
