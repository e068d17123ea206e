-- A generated column is computed from one row.

CREATE SOURCE rows_in (n BIGINT, total BIGINT AS (sum(n))) WITH (connector = 'generate');
