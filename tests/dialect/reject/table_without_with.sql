-- A table without its options: nobody would fill it.

CREATE TABLE rows_in (a BIGINT);
