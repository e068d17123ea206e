-- An expression that is no expression.

CREATE SOURCE rows_in (n BIGINT, twice BIGINT AS (2 *)) WITH (connector = 'generate');
