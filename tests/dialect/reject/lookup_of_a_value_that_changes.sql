-- A lookup is asked first and joined to its answers afterwards: what both depend on has to be the same twice.

CREATE SOURCE rows_in (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE TEMP TABLE candles ($symbol STRING, $since TIMESTAMP, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol', params.since = '$since');

CREATE VIEW of_now AS
SELECT r.symbol, c.close FROM rows_in AS r
LEFT JOIN candles AS c ON c.symbol = r.symbol AND c.since = CAST(now() AS TIMESTAMP);

CREATE VIEW of_today AS
SELECT c.close FROM rows_in AS r JOIN candles AS c ON c.symbol = r.symbol AND c.since = current_date;

CREATE VIEW sampled AS SELECT symbol, TIMESTAMP '2026-01-01' AS since FROM rows_in WHERE random() < 0.5;

CREATE VIEW of_some AS
WITH s AS (SELECT * FROM sampled)
SELECT c.close FROM s JOIN candles AS c ON c.symbol = s.symbol AND c.since = s.since;
