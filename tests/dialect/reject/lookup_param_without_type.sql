-- A parameter without a type.

CREATE TEMP TABLE candles ($symbol, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
);
