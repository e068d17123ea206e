-- Two primary keys.

CREATE TABLE rows_in (n BIGINT PRIMARY KEY, PRIMARY KEY (n)) WITH (connector = 'generate');
