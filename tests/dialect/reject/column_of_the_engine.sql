-- Names of columns that the engine needs for itself.

CREATE TABLE made (n BIGINT, RowID BIGINT AS (n), _seq BIGINT AS (n)) WITH (connector = 'generate', rows = 1);
CREATE TABLE others (n BIGINT) WITH (connector = 'generate', rows = 1);
CREATE MATERIALIZED VIEW counted AS SELECT n % 2 AS k, count(*) AS _row FROM others GROUP BY k;
CREATE SINK printed FROM (SELECT n % 2 AS k, count(*) AS _sign FROM others GROUP BY k) WITH (connector = 'stdout', changes = 'op');
