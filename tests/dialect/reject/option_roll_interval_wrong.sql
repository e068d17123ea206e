-- A duration without a unit.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out FROM rows_in WITH (
    connector = 'file',
    path = 'out/rows.json',
    roll.interval = 60,
);
