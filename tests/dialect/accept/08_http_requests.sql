-- The http connector: what is asked.
--
-- GET is the default method. `params.*` become the query, percent-encoded; `headers.*` are sent as they
-- are. Rows are the outputs of `jq`; an output that is a list is flattened by one level, so `.` reads a
-- body that is a list of objects.

CREATE SOURCE http_get (symbol STRING, price DOUBLE) WITH (
    connector = 'http',
    url = 'https://api.example.com/v1/tickers?market=spot',
    method = 'GET',
    interval = '10s',
    params.quote = 'USDT',
    params.limit = 500,
    headers.Accept = 'application/json',
    'headers.User-Agent' = 'omlsp',
    jq = '.data | to_entries[] | {symbol: .key, price: (.value.last | tonumber)}',
);

-- `json.*` builds a JSON body; a dot in the name nests, and what reads as JSON stays what it is there.
CREATE SOURCE http_post_json (symbol STRING) WITH (
    connector = 'http',
    url = 'https://api.example.com/v1/query',
    method = 'POST',
    interval = '10s',
    json.market = 'spot',
    json.limit = 500,
    json.filter.active = true,
    json.filter.quotes = '["USDT", "USDC"]',
);

-- `body` is sent as it is written.
CREATE SOURCE http_post_body (symbol STRING) WITH (
    connector = 'http',
    url = 'https://api.example.com/graphql',
    method = 'POST',
    interval = '10s',
    'headers.Content-Type' = 'application/json',
    body = '{"query": "{ tickers { symbol } }"}',
    jq = '.data.tickers[]',
);

CREATE SOURCE http_put (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/v1/query', method = 'PUT', interval = '10s', body = '{}');

CREATE SOURCE http_patch (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/v1/query', method = 'PATCH', interval = '10s', body = '{}');

CREATE SOURCE http_delete (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/v1/queue', method = 'DELETE', interval = '10s');
