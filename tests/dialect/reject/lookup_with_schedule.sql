-- A lookup is asked by rows, not by the clock.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    schedule = '* * * * *',
);
