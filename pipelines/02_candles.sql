-- 2. Candles by a lookup join.
--
-- A lookup is a table that cannot be read alone: it is asked, row by row, by whoever joins it. It is
-- declared as a TEMPORARY TABLE whose `$parameters` stand in the request wherever they are needed; what a
-- row puts there is percent-encoded.
--
-- The rows that ask come from a SOURCE: like a TABLE, but nothing is kept beyond what its consumers
-- still need. Its generated columns make the window of each question from the instant of the poll, in
-- whole minutes: TRIGGER_EPOCH_TIME() is that instant in milliseconds, KuCoin counts in seconds.

CREATE SOURCE watched_markets (
    symbol   STRING,
    start_at BIGINT AS ((TRIGGER_EPOCH_TIME() // 60000 - 5) * 60),
    end_at   BIGINT AS (TRIGGER_EPOCH_TIME() // 60000 * 60),
) WITH (
    connector = 'http',
    url = '${KUCOIN_URL:-https://api.kucoin.com}/api/v1/market/allTickers',
    schedule = '*/5 * * * *',
    jq = '.data.ticker[] | select(.symbol == "BTC-USDT" or .symbol == "ETH-USDT") | {symbol}',
);

-- KuCoin answers with lists: [time, open, close, high, low, volume, turnover]. The filter gives the
-- places names; generated columns may use the answer's columns, the parameters and the trigger's instant.
-- `rate_limit` counts all requests of this lookup, `lookup.cache` keeps answers for a while.
CREATE TEMPORARY TABLE candles (
    $symbol   STRING,
    $start_at BIGINT,
    $end_at   BIGINT,
    opened_s  BIGINT,
    open      DOUBLE,
    close     DOUBLE,
    high      DOUBLE,
    low       DOUBLE,
    volume    DOUBLE,
    opened_at TIMESTAMP AS (make_timestamp_ms(opened_s * 1000)),
    age_s     BIGINT    AS (TRIGGER_EPOCH_TIME() // 1000 - opened_s),
) WITH (
    connector = 'lookup-http',
    url = '${KUCOIN_URL:-https://api.kucoin.com}/api/v1/market/candles',
    params.type = '1min',
    params.symbol = '$symbol',
    params.startAt = '$start_at',
    params.endAt = '$end_at',
    jq = '.data[] | {opened_s: .[0], open: .[1], close: .[2], high: .[3], low: .[4], volume: .[5]}',
    rate_limit = '30/3s',
    lookup.concurrency = 8,
    lookup.cache = 'lru',
    lookup.cache.ttl = '30s',
);

-- `$symbol` is bound by the equality in ON; `$start_at` and `$end_at` are not mentioned there and come
-- from the columns of the same names. One answer gives many rows. A LEFT JOIN keeps a market without an
-- answer, with NULLs.
CREATE VIEW recent_candles AS
SELECT market.symbol, candle.opened_at, candle.open, candle.high, candle.low, candle.close, candle.age_s
FROM watched_markets AS market
LEFT JOIN candles AS candle ON market.symbol = candle.symbol;

CREATE SINK print_candles FROM recent_candles WITH (connector = 'stdout');
