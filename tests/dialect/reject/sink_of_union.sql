-- Values that have no form outside DuckDB, be it in a part of a column.

CREATE TABLE made (n BIGINT, bits BIT AS (n::BIT)) WITH (connector = 'generate', rows = 1);
CREATE SINK printed FROM made WITH (connector = 'stdout');
CREATE SINK kept AS SELECT [n::UNION(whole BIGINT, text VARCHAR)] AS either FROM made WITH (connector = 'file', path = 'o.parquet');
