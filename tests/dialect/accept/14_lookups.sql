-- Lookups.
--
-- A lookup is asked by the rows that join it: once per distinct set of parameters in a batch. `$name`
-- declares a parameter; it stands in the URL, the query, a header or the body, escaped for that place.
-- Responses give 0, 1 or many rows each. Generated columns may use parameters and response columns.

CREATE SOURCE lookups_quotes (symbol STRING, period STRING, day DATE)
WITH (connector = 'http', url = 'https://api.example.com/quotes', interval = '1m');

CREATE TEMP TABLE lookups_candles (
    $symbol  STRING,
    $period  STRING,
    open     DOUBLE,
    close    DOUBLE,
    change   DOUBLE AS (close - open),
    label    STRING AS (symbol || '/' || period),
    asked_at TIMESTAMP AS (TRIGGER_TIME()),
) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/candles/$symbol',
    params.period = '$period',
    headers.Accept = 'application/json',
    jq = '.candles[] | {open: .o, close: .c}',
    lookup.concurrency = 32,
    lookup.cache = 'lru',
    lookup.cache.max_rows = 5000,
    lookup.cache.ttl = '5m',
    lookup.cache.missing = false,
    lookup.on_error = 'null',
    rate_limit = '10/1s',
    connect_timeout = '2s',
    timeout = '5s',
    retry.max_attempts = 2,
    retry.initial_backoff = '100ms',
    retry.max_backoff = '1s',
    retry.codes = '429',
    max_body_bytes = '1MiB',
    on_error = 'dead_letter',
    timestamp_unit = 'ms',
);

-- Asked by a JSON body; a value that is exactly a parameter keeps its type.
CREATE TEMPORARY TABLE lookups_fees ($symbol STRING, $day DATE, fee DOUBLE) WITH (
    connector = 'lookup-http',
    url = 'https://api.example.com/fees',
    method = 'POST',
    json.symbol = '$symbol',
    json.day = '$day',
    auth.type = 'bearer',
    auth.token = 'token',
    lookup.cache = 'none',
    lookup.on_error = 'fail',
);

-- `$symbol` is bound by the equality in ON, `$period` by the column of that name. What else stands in ON
-- and WHERE applies after the answer. JOIN drops rows without an answer, LEFT JOIN keeps them.
CREATE VIEW lookups_left AS
SELECT q.symbol, c.open, c.close, c.change
FROM lookups_quotes AS q
LEFT JOIN lookups_candles AS c ON q.symbol = c.symbol AND c.close > 0;

CREATE VIEW lookups_inner AS
SELECT q.symbol, c.label
FROM lookups_quotes AS q
JOIN lookups_candles AS c ON c.symbol = upper(q.symbol) AND c.period = '1h'
WHERE c.open < c.close;

-- Several lookups in one query are asked one after the other, the second with the answers of the first.
CREATE VIEW lookups_chain AS
SELECT q.symbol, c.close, f.fee, c.close * f.fee AS cost
FROM lookups_quotes AS q
LEFT JOIN lookups_candles AS c ON q.symbol = c.symbol
LEFT JOIN lookups_fees AS f ON q.symbol = f.symbol AND q.day = f.day;

CREATE SINK lookups_sink FROM lookups_chain WITH (connector = 'stdout');
