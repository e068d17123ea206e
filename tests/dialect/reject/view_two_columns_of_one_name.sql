-- Two columns of the same name cannot be told apart downstream.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE VIEW prices AS SELECT symbol, upper(symbol) AS symbol FROM rows_in;
