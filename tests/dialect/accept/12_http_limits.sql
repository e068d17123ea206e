-- The http connector: patience and bounds.
--
-- A request has `connect_timeout` to reach the server and `timeout` for all of it, the body included.
-- What may pass by itself is tried again: connection errors, timeouts, and the statuses of `retry.codes`,
-- after growing, randomly shortened pauses, and never before a Retry-After has passed.

CREATE SOURCE limits_all (
    symbol  STRING,
    price   DOUBLE NOT NULL,
    made_at TIMESTAMP,
) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '1m',
    connect_timeout = '5s',
    timeout = '1m',
    retry.max_attempts = 7,
    retry.initial_backoff = '250ms',
    retry.max_backoff = '10s',
    retry.codes = '408, 425, 429, 500, 502, 503, 504',
    max_body_bytes = '16MiB',
    rate_limit = '30/3s',
    conditional = true,
    on_error = 'dead_letter',
    timestamp_unit = 'ms',
);

-- A row that does not fit its types is kept among the errors, left out, or ends the poll.
CREATE SOURCE limits_skip (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1m', on_error = 'skip', timestamp_unit = 's');

CREATE SOURCE limits_fail (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1m', on_error = 'fail', timestamp_unit = 'us');

-- `conditional = 'false'` asks for the whole body every time, changed or not.
CREATE SOURCE limits_unconditional (a TIMESTAMP_NS)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1m', conditional = 'false', timestamp_unit = 'ns');
