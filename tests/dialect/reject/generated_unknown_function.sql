-- A function that DuckDB does not know.

CREATE SOURCE rows_in (n BIGINT, twice BIGINT AS (dubble(n))) WITH (connector = 'generate');
