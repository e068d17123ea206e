-- A primary key without columns.

CREATE TABLE rows_in (n BIGINT, PRIMARY KEY ()) WITH (connector = 'generate');
