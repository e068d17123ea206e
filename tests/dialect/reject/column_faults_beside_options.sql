-- A fault of the column list hides neither those of the options nor a second definition.

CREATE TABLE polled (n BIGINT, m) WITH (connector = 'http', url = 'htp://x', interval = '5', bogus = '1');

CREATE TABLE twice (n BIGINT, n BIGINT) WITH (connector = 'generate', rows = 0);

CREATE TABLE without_key (n BIGINT, PRIMARY KEY (k)) WITH (connector = 'htpp', url = 'https://api.example.com/');

CREATE TEMP TABLE asked ($id, price DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/$id/$other', timeout = 'long');

-- What the fault may be the reason of is not told.
CREATE SOURCE computed (a, b BIGINT AS (2)) WITH (connector = 'http', url = 'https://api.example.com/', interval = '5s');

CREATE SOURCE on_time (ts TIMESTAMP, WATERMARK FOR ts ts) WITH (connector = 'generate', watermark.idle_timeout = '5s');

CREATE TABLE param ($id BIGINT, n BIGINT) WITH (connector = 'http', url = 'https://api.example.com/$id', interval = '5s');

CREATE VIEW of_it AS SELECT m FROM polled;

CREATE VIEW Polled AS SELECT 1 AS one;

CREATE SOURCE twice (n) WITH (connector = 'generate');
