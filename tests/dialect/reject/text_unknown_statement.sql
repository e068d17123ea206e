-- A word that begins no statement.

CRAETE TABLE rows_in (a BIGINT) WITH (connector = 'generate');
