-- Generated columns that need each other.

CREATE SOURCE rows_in (n BIGINT, a BIGINT AS (b + n), b BIGINT AS (a - n)) WITH (connector = 'generate');
