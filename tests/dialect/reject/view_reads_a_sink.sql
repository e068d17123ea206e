-- A sink is the outside world: it cannot be read.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out FROM rows_in WITH (connector = 'stdout');

CREATE VIEW prices AS SELECT * FROM rows_out;
