-- The relation has a column `op` of its own.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out FROM (SELECT symbol AS op FROM rows_in) WITH (connector = 'stdout', changes = 'op');
