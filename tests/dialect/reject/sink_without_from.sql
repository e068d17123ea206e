-- A sink without a relation.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out WITH (connector = 'stdout');
