-- A lookup whose answers fill nothing.

CREATE TEMP TABLE candles ($symbol STRING) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
);
