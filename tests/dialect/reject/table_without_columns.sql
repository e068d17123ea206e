-- A table without columns.

CREATE TABLE rows_in () WITH (connector = 'generate');
