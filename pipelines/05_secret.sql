-- 5. A secret in a header.
--
-- A secret is a value with a name. It is written into an option as SECRET name, and shown nowhere: not
-- by SHOW, not in a log or an error, and not in clear on the disk.
--
-- Where the value comes from is the secret's `backend`. `meta` takes what is written here, which may
-- itself come from the environment, with a default. `env` names a variable and `file` a file; with them
-- the pipeline is invalid where the variable or the file is missing:
--
--     CREATE SECRET coinbase_key WITH (backend = 'env')  AS 'COINBASE_KEY';
--     CREATE SECRET coinbase_key WITH (backend = 'file') AS '/run/secrets/coinbase';

CREATE SECRET coinbase_key WITH (backend = 'meta') AS '${COINBASE_KEY:-demo-key}';

-- Coinbase's public data needs no key; its private endpoints take it in this header, beside a signature
-- (`auth.type = 'hmac-sha256'`).
CREATE SOURCE ether_trades (
    trade_id BIGINT,
    price    DOUBLE,
    size     DOUBLE,
    time     TIMESTAMP,
) WITH (
    connector = 'http',
    url = '${COINBASE_URL:-https://api.exchange.coinbase.com}/products/ETH-USD/trades',
    'headers.CB-ACCESS-KEY' = SECRET coinbase_key,
    params.limit = '100',
    interval = '10s',
);

CREATE SINK print_ether_trades FROM (SELECT time, price, size FROM ether_trades WHERE size >= 1)
WITH (connector = 'stdout');
