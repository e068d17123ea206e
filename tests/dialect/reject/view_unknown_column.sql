-- A column that the relation does not have; a near one is suggested.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE VIEW prices AS SELECT symbol, prcie FROM rows_in;
