-- To replace and to leave alone exclude each other.

CREATE OR REPLACE SOURCE IF NOT EXISTS rows_in (n BIGINT) WITH (connector = 'generate');
