-- A declared parameter that stands nowhere in the request.

CREATE TEMP TABLE candles ($symbol STRING, $period STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
);
