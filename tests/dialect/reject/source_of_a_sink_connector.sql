-- A connector that only writes.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'stdout');
