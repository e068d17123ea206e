-- Only a lookup has parameters.

CREATE SOURCE rows_in ($symbol STRING, n BIGINT) WITH (connector = 'generate');
