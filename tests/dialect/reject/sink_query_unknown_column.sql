-- A query over a column that there is not.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out FROM (SELECT size FROM rows_in) WITH (connector = 'stdout');
