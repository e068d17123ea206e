-- A source keeps nothing, so it has no latest row per key.

CREATE SOURCE rows_in (n BIGINT, PRIMARY KEY (n)) WITH (connector = 'generate');
