-- Numbers larger than a HUGEINT have no form outside DuckDB.

CREATE TABLE made (n BIGINT, large UHUGEINT AS (n)) WITH (connector = 'generate', rows = 1);
CREATE SINK printed FROM made WITH (connector = 'stdout');
