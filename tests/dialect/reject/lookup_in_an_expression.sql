-- A lookup is asked by the rows that join it in FROM. Nobody asks one that stands anywhere else.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE TEMP TABLE candles ($symbol STRING, $period STRING, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol', params.period = '$period');

CREATE VIEW closes AS SELECT symbol, (SELECT c.close FROM candles AS c WHERE c.symbol = r.symbol) AS close FROM rows_in AS r;

CREATE VIEW known AS SELECT symbol FROM rows_in AS r WHERE EXISTS (SELECT 1 FROM candles AS c WHERE c.symbol = r.symbol);

CREATE VIEW listed AS SELECT symbol FROM rows_in WHERE symbol IN (SELECT symbol FROM candles);

CREATE SINK dear FROM (
    SELECT r.symbol, c.close FROM rows_in AS r JOIN candles AS c ON c.symbol = r.symbol AND c.period = '1h'
    WHERE r.price > (SELECT max(l.close) FROM rows_in AS q JOIN candles AS l ON l.symbol = q.symbol AND l.period = '1d')
) WITH (connector = 'stdout');

CREATE VIEW summary AS FROM (SUMMARIZE candles);

CREATE TABLE frames (close DOUBLE)
WITH (connector = 'ws', url = 'wss://api.example.com/$symbol', on_start_query = 'SELECT symbol FROM candles');

SELECT symbol, (SELECT max(close) FROM candles) AS high FROM rows_in;
