-- 3. One source, three views.
--
-- A source is polled once, however many read it: each consumer gets every batch, at its own pace, and a
-- slow one holds nobody up.
--
-- The first two views only filter and compute. They look at each new row once and never at old ones, so
-- what they give only grows. The third is materialized and aggregates: its content is always its query's
-- answer over EVERYTHING the source has delivered, and it costs what changed, not what there is.

CREATE SOURCE market_snapshot (
    symbol      STRING,
    buy         DOUBLE,
    sell        DOUBLE,
    last        DOUBLE,
    change_rate DOUBLE,
    turnover    DOUBLE,
    quote       STRING    AS (split_part(symbol, '-', 2)),
    taken_at    TIMESTAMP AS (TRIGGER_TIME()),
) WITH (
    connector = 'http',
    url = '${KUCOIN_URL:-https://api.kucoin.com}/api/v1/market/allTickers',
    interval = '30s',
    jq = '.data.ticker[] | {symbol, buy, sell, last, change_rate: .changeRate, turnover: .volValue}',
);

CREATE VIEW movers AS
SELECT taken_at, symbol, last, round(100 * change_rate, 2) AS change_percent
FROM market_snapshot
WHERE abs(change_rate) > 0.01;

CREATE VIEW wide_spreads AS
SELECT taken_at, symbol, buy, sell, round(100 * (sell - buy) / buy, 3) AS spread_percent
FROM market_snapshot
WHERE buy > 0 AND sell > 1.001 * buy;

CREATE MATERIALIZED VIEW quote_activity AS
SELECT quote, count(*) AS tickers, avg(change_rate) AS change_rate_mean, max(taken_at) AS last_taken_at
FROM market_snapshot
GROUP BY quote;

CREATE SINK print_movers FROM (SELECT * FROM movers WHERE symbol LIKE '%-USDT')
WITH (connector = 'stdout', encode = 'json');

-- A group changes by a delete of its old row and an insert of its new one. `changes = 'op'` adds a first
-- column that says which of the two a line is; without it, a sink that prints rows refuses a relation
-- that changes.
CREATE SINK print_quote_activity FROM quote_activity WITH (connector = 'stdout', changes = 'op');
