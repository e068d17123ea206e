-- The sinks stdout, file and http.

CREATE SOURCE other_rows (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE MATERIALIZED VIEW other_counts AS SELECT symbol, count(*) AS n FROM other_rows GROUP BY symbol;

CREATE SINK stdout_json FROM other_rows WITH (connector = 'stdout', encode = 'json');

CREATE SINK stdout_csv FROM other_rows WITH (connector = 'stdout', encode = 'csv');

-- A relation whose rows also go away needs a column that says so.
CREATE SINK stdout_changes FROM other_counts WITH (connector = 'stdout', changes = 'op');

-- A file is written under another name and renamed when it is whole. `{n}` is its number. A new one is
-- begun when this one is large enough or old enough.
CREATE SINK file_json FROM other_rows WITH (
    connector = 'file',
    path = 'out/prices-{n}.json',
    encode = 'json',
    roll.size = '16MiB',
    roll.interval = '10m',
);

CREATE SINK file_csv FROM other_rows WITH (connector = 'file', path = 'out/prices.csv', encode = 'csv');

CREATE SINK file_parquet FROM other_counts
WITH (connector = 'file', path = 'out/counts.parquet', encode = 'parquet', changes = 'op');

-- One request a row, or one a batch: a JSON list or, with `encode = 'jsonl'`, one object a line.
CREATE SINK http_rows FROM other_rows WITH (connector = 'http', url = 'https://hooks.example.com/prices');

CREATE SINK http_batches FROM other_counts WITH (
    connector = 'http',
    url = 'https://hooks.example.com/counts',
    method = 'PUT',
    headers.Accept = 'application/json',
    params.source = 'omlsp',
    batch.max_rows = 500,
    encode = 'jsonl',
    changes = 'op',
    auth.type = 'bearer',
    auth.token = 'token',
    connect_timeout = '5s',
    timeout = '10s',
    retry.max_attempts = 10,
    retry.initial_backoff = '1s',
    retry.max_backoff = '1m',
    retry.codes = '429, 503',
    rate_limit = '5/1s',
);
