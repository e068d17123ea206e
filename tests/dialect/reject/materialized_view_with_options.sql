-- A materialized view takes no options.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE MATERIALIZED VIEW prices AS SELECT price FROM rows_in WITH (connector = 'stdout');
