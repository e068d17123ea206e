-- A lookup cannot be read alone.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE TEMP TABLE candles ($symbol STRING, $period STRING, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol', params.period = '$period');

CREATE VIEW alone AS SELECT close FROM candles;
