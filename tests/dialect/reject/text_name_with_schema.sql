-- All entities share one name space; there are no schemas.

CREATE TABLE market.rows_in (n BIGINT) WITH (connector = 'generate');
