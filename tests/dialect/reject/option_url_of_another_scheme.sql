-- A scheme that http does not speak.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'ftp://api.example.com/rows', interval = '10s');
