-- A view holds a query, not a statement that changes something.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE VIEW prices AS DELETE FROM rows_in;
