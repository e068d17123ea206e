-- DROP without the kind of what is dropped.

DROP rows_in;
