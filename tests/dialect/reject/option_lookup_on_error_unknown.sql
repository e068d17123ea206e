-- `lookup.on_error` is null or fail.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    lookup.on_error = 'skip',
);
