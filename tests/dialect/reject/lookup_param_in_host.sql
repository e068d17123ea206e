-- A row must not decide who gets the request.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://$symbol.example.com/candles',
);
