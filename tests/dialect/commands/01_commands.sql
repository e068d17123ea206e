-- Statements that ask and act, for `omlsp sql` and `omlsp shell`.
--
-- They speak to the running pipeline or, when none runs, to the state it left. What they create and drop
-- is kept in the state.

SET timezone = 'UTC';

CREATE SECRET commands_secret WITH (backend = 'meta') AS 'a value';
CREATE TABLE commands_rows (n BIGINT, half DOUBLE AS (n / 2)) WITH (connector = 'generate', rows = 10);
CREATE SOURCE commands_source (n BIGINT) WITH (connector = 'generate', rows = 10);
CREATE VIEW commands_view AS SELECT half FROM commands_rows;
CREATE MATERIALIZED VIEW commands_counts AS SELECT count(*) AS n FROM commands_rows;
CREATE SINK commands_sink FROM commands_view WITH (connector = 'stdout');
CREATE TEMP TABLE commands_lookup ($n BIGINT, name STRING)
WITH (connector = 'lookup-http', url = 'https://api.example.com/names/$n');

SHOW TABLES;
SHOW SOURCES;
SHOW VIEWS;
SHOW MATERIALIZED VIEWS;
SHOW SINKS;
SHOW SECRETS;
SHOW LOOKUPS;
SHOW ERRORS;

SHOW CREATE TABLE commands_rows;
SHOW CREATE SOURCE commands_source;
SHOW CREATE VIEW commands_view;
SHOW CREATE MATERIALIZED VIEW commands_counts;
SHOW CREATE SINK commands_sink;
SHOW CREATE SECRET commands_secret;

DESCRIBE commands_rows;
EXPLAIN SELECT half, count(*) FROM commands_rows GROUP BY half;
SELECT n, half FROM commands_rows ORDER BY n LIMIT 3;
WITH big AS (SELECT n FROM commands_rows WHERE n > 5) SELECT count(*) FROM big;
FROM commands_counts;

-- What something else depends on is not dropped unless CASCADE, before or after the name, takes that too.
DROP SINK commands_sink;
DROP VIEW commands_view;
DROP MATERIALIZED VIEW IF EXISTS commands_counts;
DROP TABLE commands_rows CASCADE;
DROP SOURCE CASCADE commands_source;
DROP SOURCE IF EXISTS CASCADE commands_source;
DROP SECRET commands_secret;
DROP TABLE commands_lookup;
DROP TABLE IF EXISTS commands_never_was;
