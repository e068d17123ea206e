-- A relation that nobody defines; a near name is suggested.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE VIEW prices AS SELECT price FROM row_in;
