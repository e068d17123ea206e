-- A parameter in the URL that is not declared; a near one is suggested.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbl',
);
