-- The ws connector.
--
-- A connection that is told on arrival what to send: `subscribe.0`, `subscribe.1`, … go out in that order
-- after each connect. `ping_interval` is the protocol's ping; some servers want a message of their own as
-- well. A connection that brings nothing for `idle_timeout` is made anew.

CREATE SOURCE ws_subscribed (symbol STRING, price DOUBLE) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/v1',
    'headers.X-Client' = 'omlsp',
    subscribe.0 = '{"op": "subscribe", "channel": "tickers"}',
    subscribe.1 = '{"op": "subscribe", "channel": "trades"}',
    jq = 'select(.type == "ticker") | {symbol, price}',
    ping_interval = '20s',
    ping_message = '{"op": "ping"}',
    idle_timeout = '1m',
    batch.max_rows = 256,
    batch.linger = '10ms',
    max_frame_bytes = '1MiB',
);

-- The other name of the connector, and a table.
CREATE TABLE ws_table (symbol STRING PRIMARY KEY, price DOUBLE)
WITH (connector = 'websocket', url = 'ws://stream.example.com/v1');

-- One connection per row of a query, whose columns stand in the URL, percent-encoded; rows that make the same URL
-- share one. Columns are put into the URL only: headers and messages are the same on each connection.
CREATE TABLE ws_markets (symbol STRING, depth INTEGER)
WITH (connector = 'http', url = 'https://api.example.com/markets', interval = '1h');

CREATE SOURCE ws_per_market (symbol STRING, price DOUBLE) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/$symbol?depth=$depth',
    on_start_query = 'SELECT lower(symbol) AS symbol, depth FROM ws_markets WHERE depth > 0',
    on_start_refresh = '5m',
);
