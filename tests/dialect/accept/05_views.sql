-- Views.
--
-- The body of a view is DuckDB's SQL, all of it. A VIEW keeps nothing; a MATERIALIZED VIEW keeps its
-- result: its query over everything it has taken of its inputs, never anything else. It takes each batch a moment after
-- that was committed, in a transaction of its own.
--
-- Queries that select, filter, compute, unnest and UNION ALL are maintained from the new rows alone;
-- aggregates by their groups; joins by their keys; what is neither is computed again and compared.
-- EXPLAIN says which it is.

CREATE TABLE views_trades (
    id       BIGINT,
    symbol   STRING,
    price    DOUBLE,
    size     DOUBLE,
    made_at  TIMESTAMP,
    tags     STRING[],
) WITH (connector = 'http', url = 'https://api.example.com/trades', interval = '10s');

CREATE TABLE views_markets (symbol STRING PRIMARY KEY, base STRING, quote STRING, fee DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/markets', interval = '1h');

CREATE VIEW views_filter AS SELECT id, symbol, price * size AS turnover FROM views_trades WHERE size > 0;

CREATE VIEW views_on_view AS SELECT symbol, turnover FROM views_filter WHERE turnover > 1000;

CREATE VIEW views_unnest AS SELECT id, unnest(tags) AS tag FROM views_trades;

CREATE VIEW views_union AS
SELECT symbol, 'trade' AS seen_in FROM views_trades
UNION ALL
SELECT symbol, 'market' FROM views_markets;

CREATE VIEW views_from_first AS FROM views_trades SELECT symbol, price WHERE price > 0;

CREATE VIEW views_constant AS SELECT 1 AS one, 'two' AS two;

CREATE VIEW views_values AS SELECT * FROM (VALUES ('BTC', 1), ('ETH', 2)) AS wanted (base, rank);

CREATE MATERIALIZED VIEW views_aggregate AS
SELECT symbol, count(*) AS trades, sum(size) AS size, avg(price) AS price_mean, min(price) AS low,
       max(price) AS high
FROM views_trades
GROUP BY symbol
HAVING count(*) > 1;

CREATE MATERIALIZED VIEW views_minutes AS
SELECT symbol, date_trunc('minute', made_at) AS minute, first(price ORDER BY id) AS open,
       last(price ORDER BY id) AS close
FROM views_trades
GROUP BY ALL;

CREATE MATERIALIZED VIEW views_join AS
SELECT trade.id, market.base, market.quote, trade.price * trade.size * market.fee AS fee
FROM views_trades AS trade
JOIN views_markets AS market USING (symbol);

CREATE MATERIALIZED VIEW views_cte AS
WITH latest AS (
    SELECT symbol, max(made_at) AS made_at FROM views_trades GROUP BY symbol
), named AS (
    SELECT * FROM latest WHERE symbol IS NOT NULL
)
SELECT trade.symbol, trade.price
FROM views_trades AS trade
JOIN named ON trade.symbol = named.symbol AND trade.made_at = named.made_at;

CREATE MATERIALIZED VIEW views_window AS
SELECT id, symbol, price - lag(price) OVER (PARTITION BY symbol ORDER BY id) AS step
FROM views_trades
QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY id DESC) <= 10;

CREATE MATERIALIZED VIEW views_subquery AS
SELECT DISTINCT symbol FROM views_trades
WHERE price > (SELECT avg(price) FROM views_trades) AND symbol IN (SELECT symbol FROM views_markets);

CREATE MATERIALIZED VIEW views_set AS
SELECT symbol FROM views_trades EXCEPT SELECT symbol FROM views_markets;

-- The columns of a relation are fixed, so that a PIVOT lists its values.
CREATE MATERIALIZED VIEW views_pivot AS
PIVOT views_trades ON symbol IN ('BTC', 'ETH') USING sum(size) GROUP BY id;

CREATE MATERIALIZED VIEW views_top AS
SELECT symbol, trades FROM views_aggregate ORDER BY trades DESC, symbol LIMIT 10;

CREATE OR REPLACE VIEW views_or_replace AS SELECT symbol FROM views_trades;

CREATE VIEW IF NOT EXISTS views_if_not_exists AS SELECT symbol FROM views_trades;

CREATE OR REPLACE MATERIALIZED VIEW views_materialized_or_replace AS SELECT count(*) AS n FROM views_trades;

CREATE MATERIALIZED VIEW IF NOT EXISTS views_materialized_if_not_exists AS SELECT count(*) AS n FROM views_trades;
