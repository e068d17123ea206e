-- The same column twice; names are compared without regard to case.

CREATE SOURCE rows_in (n BIGINT, N BIGINT) WITH (connector = 'generate');
