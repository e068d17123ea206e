-- The same in the form with AS.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out AS SELECT size FROM rows_in WITH (connector = 'stdout');
