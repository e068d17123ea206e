-- An operator that its operands do not have.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE VIEW prices AS SELECT symbol - INTERVAL '1 day' AS before FROM rows_in;
