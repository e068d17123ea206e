-- The columns of `on_start_query` are put into `url` only; another `$name` is sent as it is.

CREATE TABLE rows_in (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1h');

CREATE SOURCE trades (price DOUBLE) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/v1',
    on_start_query = 'SELECT symbol FROM rows_in',
    subscribe.0 = '{"$type": "subscribe", "market": "$symbol"}',
);
