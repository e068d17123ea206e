-- A parameter that stands in the URL too: one of the two would not be sent.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles?symbol=BTC&limit=1',
    params.symbol = '$symbol',
);
