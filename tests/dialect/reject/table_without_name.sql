-- A table without a name.

CREATE TABLE (a BIGINT) WITH (connector = 'generate');
