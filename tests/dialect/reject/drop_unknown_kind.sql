-- A kind that there is not.

DROP INDEX rows_in;
