-- Rows cannot be inserted: a table is filled by its connector.

INSERT INTO rows_in VALUES (1);
