-- A lookup cannot be read alone: it is asked by the rows that join it.

CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol');

CREATE SINK rows_out FROM candles WITH (connector = 'stdout');
