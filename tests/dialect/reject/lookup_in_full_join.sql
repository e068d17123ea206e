-- Nor one of two such sides.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE TEMP TABLE candles ($symbol STRING, $period STRING, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol', params.period = '$period');

CREATE VIEW joined AS SELECT c.close FROM rows_in AS r FULL JOIN candles AS c ON r.symbol = c.symbol AND c.period = '1h';
