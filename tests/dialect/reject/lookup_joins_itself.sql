-- Two lookups that wait for each other.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE TEMP TABLE candles ($symbol STRING, $period STRING, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol', params.period = '$period');

CREATE VIEW joined AS SELECT a.close FROM candles AS a JOIN candles AS b ON a.symbol = b.symbol AND a.period = b.period;
