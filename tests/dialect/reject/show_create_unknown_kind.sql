-- A kind that there is not.

SHOW CREATE INDEX rows_in;
