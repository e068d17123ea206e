-- The columns are known without the options: what reads them is checked too, and nobody is blamed for the option.

CREATE TABLE numbers (n BIGINT, half DOUBLE AS (nn / 2)) WITH (connector = 'generate', rows = 0);

CREATE TABLE polled (id BIGINT PRIMARY KEY, seen TIMESTAMP, WATERMARK FOR seen AS seen) WITH (connector = 'htpp', url = 'https://api.example.com/');

CREATE TEMP TABLE prices ($id BIGINT, price DOUBLE) WITH (connector = 'lookup-http', url = 'https://api.example.com/$id', timeout = 'long');

CREATE SOURCE pushed (id BIGINT) WITH (connector = 'ws', on_start_query = 'SELEC id', url = 'http://x', ping_interval = 'soon');

CREATE VIEW unknown_column AS SELECT q FROM numbers;

CREATE MATERIALIZED VIEW fine AS SELECT id, half FROM polled JOIN numbers ON id = n;

CREATE MATERIALIZED VIEW also_fine AS SELECT pushed.id, price FROM pushed JOIN prices USING (id);

CREATE MATERIALIZED VIEW sums AS SELECT id, sum(price) AS price FROM also_fine, numbers GROUP BY idd;

CREATE SINK printed FROM fine WITH (connector = 'stdout', changes = 'op', zz = 1);
