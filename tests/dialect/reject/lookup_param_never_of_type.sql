-- What is joined with a param has to become of its type.

CREATE SOURCE rows_in (day DATE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE TEMP TABLE prices ($number INT, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/prices/$number');

CREATE VIEW priced AS
SELECT r.day, p.close FROM rows_in AS r JOIN prices AS p ON p.number = r.day;
