-- The quickstart: a polled source, a lookup join and an aggregate, printed as they change.
--
-- Without a network, from the record beside this file (its prices are invented, its shapes are KuCoin's):
--
--     omlsp run --replay pipelines/quickstart/record pipelines/quickstart
--
-- Against the real KuCoin, until Ctrl-C, with state in `.omlsp`:
--
--     omlsp run pipelines/quickstart
--
-- And as a test: what is expected of each sink stands in `expect/`.
--
--     omlsp test pipelines/quickstart

-- Polled every ten seconds; `jq` turns the answer into rows, and columns are filled by name.
-- https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-all-tickers
CREATE SOURCE quotes (
    symbol    STRING,
    last      DOUBLE,
    turnover  DOUBLE,
    currency  STRING    AS (split_part(symbol, '-', 2)),
    polled_at TIMESTAMP AS (TRIGGER_TIME()),
    minute    BIGINT    AS (TRIGGER_EPOCH_TIME() // 60000 * 60),
) WITH (
    connector = 'http',
    url = '${KUCOIN_URL:-https://api.kucoin.com}/api/v1/market/allTickers',
    interval = '10s',
    jq = '.data.ticker[] | select(.symbol | test("^(BTC|ETH|SOL)-(USDT|USDC)$"))
          | {symbol, last, turnover: .volValue}',
);

-- A lookup is asked row by row by whoever joins it: here for the candle of the last whole minute.
-- https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
CREATE TEMPORARY TABLE minute_candles (
    $symbol STRING,
    $minute BIGINT,
    open    DOUBLE,
    high    DOUBLE,
    low     DOUBLE,
) WITH (
    connector = 'lookup-http',
    url = '${KUCOIN_URL:-https://api.kucoin.com}/api/v1/market/candles',
    params.type = '1min',
    params.symbol = '$symbol',
    params.endAt = '$minute',
    jq = '.data[0] | {open: .[1], high: .[3], low: .[4]}',
    lookup.cache = 'lru',
    lookup.cache.ttl = '1m',
);

CREATE VIEW moves AS
SELECT q.polled_at, q.symbol, q.last, round(100 * (q.last - c.open) / c.open, 3) AS percent_since_open,
       CASE WHEN q.last > c.high THEN 'above' WHEN q.last < c.low THEN 'below' ELSE 'inside' END AS candle
FROM quotes AS q LEFT JOIN minute_candles AS c ON q.symbol = c.symbol AND q.minute = c.minute
WHERE q.currency = 'USDT';

-- A materialized view always equals its query over everything that came.
CREATE MATERIALIZED VIEW market AS
SELECT currency, count(DISTINCT symbol) AS symbols, count(*) AS quotes, max(polled_at) AS latest
FROM quotes
GROUP BY currency;

CREATE SINK print_moves FROM moves WITH (connector = 'stdout');

-- A group changes by a delete of its old row and an insert of its new one.
CREATE SINK print_market FROM market WITH (connector = 'stdout', changes = 'op');
