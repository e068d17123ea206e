-- 1. Polled tickers.
--
-- A TABLE reads from outside and keeps every row it ever received. This one asks KuCoin for all of its
-- tickers at the start of every minute: `schedule` is cron with five fields, in UTC unless `timezone`
-- says otherwise.
--
-- `jq` turns the answer into rows, one per output. Columns are filled by NAME, so the order of the fields
-- does not matter and fields without a column are left out. KuCoin writes its numbers as text: they
-- convert to the column's type, and a text that is no number does not become a silent NULL but goes to
-- the errors (`omlsp show errors`).
--
-- A column with AS (…) is generated: any expression of DuckDB over the row's other columns.
-- TRIGGER_TIME() is the scheduled instant of the poll, the same for all rows of it, however late they
-- arrive.
--
--     omlsp run pipelines/01_tickers.sql --once

CREATE TABLE tickers (
    symbol         STRING,
    buy            DOUBLE,
    sell           DOUBLE,
    last           DOUBLE,
    volume         DOUBLE,
    spread_percent DOUBLE    AS (round(100 * (sell - buy) / nullif(last, 0), 4)),
    polled_at      TIMESTAMP AS (TRIGGER_TIME()),
) WITH (
    connector = 'http',
    url = '${KUCOIN_URL:-https://api.kucoin.com}/api/v1/market/allTickers',
    schedule = '*/1 * * * *',
    jq = '.data.ticker[] | {symbol, buy, sell, last, volume: .vol}',
    timeout = '20s',
);

-- A sink sends the rows of a relation, or of a query, to the outside world: first those already there,
-- then each new one. `stdout` prints one JSON object a line; logs go to stderr.
CREATE SINK print_tickers FROM (
    SELECT polled_at, symbol, last, spread_percent
    FROM tickers
    WHERE symbol LIKE 'BTC-%' AND last > 0
) WITH (connector = 'stdout');
