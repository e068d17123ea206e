-- A key column that the table does not have.

CREATE TABLE rows_in (n BIGINT, PRIMARY KEY (m)) WITH (connector = 'generate');
