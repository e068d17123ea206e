-- TRIGGER_TIME() takes no arguments.

CREATE SOURCE rows_in (n BIGINT, made_at TIMESTAMP AS (TRIGGER_TIME(n))) WITH (connector = 'generate');
