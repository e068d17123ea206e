-- 4. Answers in pages.
--
-- One poll reads all pages; a poll that hits `pagination.max_pages` says so in the log. The pages of one
-- API are unlike those of the next, so there are several kinds.

-- page-based: a number that grows by `.step`. CoinLore's `start` is an offset, so a step is a whole page.
-- Every poll begins at `.start` again, and ends at an empty page or at the bound: here the 300 coins of
-- the highest rank. https://www.coinlore.com/cryptocurrency-data-api
CREATE SOURCE coins (
    id                 BIGINT,
    symbol             STRING,
    name               STRING,
    rank               INTEGER,
    price_usd          DOUBLE,
    percent_change_24h DOUBLE,
) WITH (
    connector = 'http',
    url = '${COINLORE_URL:-https://api.coinlore.net}/api/tickers/',
    schedule = '*/10 * * * *',
    jq = '.data[] | {id, symbol, name, rank, price_usd, percent_change_24h}',
    pagination.type = 'page-based',
    pagination.page_param = 'start',
    pagination.start = 0,
    pagination.step = 100,
    pagination.size_param = 'limit',
    pagination.size = 100,
    pagination.max_pages = 3,
);

CREATE SINK print_top_coins FROM (SELECT rank, symbol, name, price_usd FROM coins WHERE rank <= 10)
WITH (connector = 'stdout');

-- cursor-based: a field of a page's last row is where the next page begins. Binance includes that trade
-- itself, so the last page is the one whose cursor no longer moves, and the PRIMARY KEY keeps each trade
-- once. With `pagination.resume`, the default, a
-- poll goes on where the last one ended, after a restart too.
-- https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
CREATE TABLE binance_trades (
    a        BIGINT,
    price    DOUBLE,
    quantity DOUBLE,
    made_ms  BIGINT,
    made_at  TIMESTAMP AS (make_timestamp_ms(made_ms)),
    PRIMARY KEY (a),
) WITH (
    connector = 'http',
    url = '${BINANCE_URL:-https://api.binance.com}/api/v3/aggTrades',
    params.symbol = 'BTCUSDT',
    params.limit = '1000',
    schedule = '*/1 * * * *',
    jq = '.[] | {a, price: .p, quantity: .q, made_ms: .T}',
    pagination.type = 'cursor-based',
    pagination.cursor_param = 'fromId',
    pagination.cursor_id = 'a',
    pagination.resume = true,
    pagination.max_pages = 10,
);

CREATE MATERIALIZED VIEW binance_minutes AS
SELECT date_trunc('minute', made_at) AS minute, count(*) AS trades, sum(price * quantity) AS turnover
FROM binance_trades
GROUP BY minute;

CREATE SINK print_binance_minutes FROM binance_minutes WITH (connector = 'stdout', changes = 'op');

-- header-based: the cursor comes in a header of the answer. Coinbase's CB-AFTER leads to OLDER trades,
-- back to the first one ever made, hence the bound.
-- https://docs.cdp.coinbase.com/exchange/rest-api/pagination
CREATE SOURCE coinbase_trades (
    trade_id BIGINT,
    side     STRING,
    size     DOUBLE,
    price    DOUBLE,
    time     TIMESTAMP,
) WITH (
    connector = 'http',
    url = '${COINBASE_URL:-https://api.exchange.coinbase.com}/products/BTC-USD/trades',
    params.limit = '1000',
    schedule = '*/5 * * * *',
    pagination.type = 'header-based',
    pagination.next_header = 'cb-after',
    pagination.cursor_param = 'after',
    pagination.max_pages = 2,
);

CREATE SINK print_large_coinbase_trades FROM (SELECT time, side, size, price FROM coinbase_trades WHERE size > 1)
WITH (connector = 'stdout');

-- body_link-based: the way on stands in the body, a link or, as with Bybit, a token; an empty one ends
-- the poll. The path is a jq filter over the whole answer.
-- https://bybit-exchange.github.io/docs/v5/market/instrument
CREATE SOURCE bybit_instruments (
    symbol      STRING,
    base        STRING,
    quote       STRING,
    launched_at TIMESTAMP,
) WITH (
    connector = 'http',
    url = '${BYBIT_URL:-https://api.bybit.com}/v5/market/instruments-info',
    params.category = 'linear',
    params.limit = '500',
    schedule = '0 * * * *',
    jq = '.result.list[] | {symbol, base: .baseCoin, quote: .quoteCoin, launched_at: (.launchTime | tonumber)}',
    timestamp_unit = 'ms',
    pagination.type = 'body_link-based',
    pagination.body_link_path = '.result.nextPageCursor',
    pagination.cursor_param = 'cursor',
);

CREATE SINK print_bybit_instruments FROM (SELECT symbol, launched_at FROM bybit_instruments WHERE quote = 'USDT')
WITH (connector = 'stdout');
