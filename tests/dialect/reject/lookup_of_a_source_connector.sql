-- A temporary table is a lookup, and http is not its connector.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE) WITH (connector = 'http', url = 'https://api.example.com/$symbol');
