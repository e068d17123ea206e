-- An expression over a column that there is not.

CREATE SOURCE rows_in (n BIGINT, twice BIGINT AS (2 * m)) WITH (connector = 'generate');
