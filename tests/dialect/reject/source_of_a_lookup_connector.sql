-- A lookup is declared as a TEMPORARY TABLE.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'lookup-http', url = 'https://api.example.com/rows');
