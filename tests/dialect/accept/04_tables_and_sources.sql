-- Tables and sources.
--
-- A TABLE keeps every row it ever received, a SOURCE nothing beyond what its consumers still need; both
-- hand each new batch on. With a PRIMARY KEY a table keeps the latest row per key, and an older row
-- leaves when a newer one comes.

CREATE TABLE tables_plain (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE TABLE tables_keyed (symbol STRING PRIMARY KEY, price DOUBLE NOT NULL)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE TABLE tables_keyed_by_two (
    exchange STRING,
    symbol   STRING,
    price    DOUBLE,
    PRIMARY KEY (exchange, symbol),
) WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE SOURCE sources_plain (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

-- Both forms are about an entity of the same name that is already there, and are for `omlsp sql`: there the
-- one leaves it as it is, and the other replaces it. In a file they change nothing: a definition that differs from the
-- state's is taken with `--replace`.
CREATE TABLE IF NOT EXISTS tables_if_not_exists (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE OR REPLACE TABLE tables_or_replace (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE SOURCE IF NOT EXISTS sources_if_not_exists (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');

CREATE OR REPLACE SOURCE sources_or_replace (symbol STRING)
WITH (connector = 'http', url = 'https://api.example.com/prices', interval = '10s');
