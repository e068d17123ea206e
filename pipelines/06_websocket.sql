-- 6. Tickers that are pushed.
--
-- A WebSocket source has one connection per row of its `on_start_query`, whose columns stand in the URL
-- as `$column`. The query reads other entities, here a view over a polled table, and waits until there
-- are rows. It is asked again every `on_start_refresh`; then only the difference is connected or closed.
--
-- A connection that breaks is made again, with growing pauses, for ever. What was pushed meanwhile is
-- lost, because a WebSocket repeats nothing: `omlsp show sources` counts the gaps.
--
-- This file runs until it is stopped: a stream has no end that `--once` could wait for.
--
--     omlsp run pipelines/06_websocket.sql

CREATE TABLE binance_day (
    symbol   STRING,
    turnover DOUBLE,
    PRIMARY KEY (symbol),
) WITH (
    connector = 'http',
    url = '${BINANCE_URL:-https://api.binance.com}/api/v3/ticker/24hr',
    interval = '10m',
    jq = '.[] | {symbol, turnover: .quoteVolume}',
);

-- Binance names its streams in lower case: btcusdt@ticker.
CREATE VIEW busiest_symbols AS
SELECT lower(symbol) AS stream
FROM binance_day
WHERE symbol LIKE '%USDT'
ORDER BY turnover DESC, symbol
LIMIT 5;

-- Binance's field names differ in case only (`c` is the last price, `C` the end of the day), and column
-- names do not: the filter gives them names of their own.
-- https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
CREATE SOURCE live_tickers (
    symbol      STRING,
    last        DOUBLE,
    bid         DOUBLE,
    ask         DOUBLE,
    event_ms    BIGINT,
    event_at    TIMESTAMP AS (make_timestamp_ms(event_ms)),
    received_at TIMESTAMP AS (TRIGGER_TIME()),
    delay_ms    BIGINT    AS (TRIGGER_EPOCH_TIME() - event_ms),
) WITH (
    connector = 'ws',
    url = '${BINANCE_WS_URL:-wss://stream.binance.com:9443}/ws/$stream@ticker',
    on_start_query = 'SELECT stream FROM busiest_symbols',
    on_start_refresh = '10m',
    jq = 'select(.e == "24hrTicker") | {symbol: .s, last: .c, bid: .b, ask: .a, event_ms: .E}',
    ping_interval = '20s',
    idle_timeout = '60s',
    batch.max_rows = 1024,
    batch.linger = '50ms',
);

CREATE SINK print_live_tickers FROM live_tickers WITH (connector = 'stdout');
