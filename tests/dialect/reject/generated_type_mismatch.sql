-- An operator that its operands do not have.

CREATE SOURCE rows_in (n BIGINT, later TIMESTAMP AS (n + INTERVAL '1 day')) WITH (connector = 'generate');
