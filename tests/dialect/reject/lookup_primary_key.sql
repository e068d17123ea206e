-- A lookup keeps nothing that could have a key.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE, PRIMARY KEY (symbol)) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
);
