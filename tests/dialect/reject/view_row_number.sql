-- Rows have no numbers.

CREATE TABLE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE MATERIALIZED VIEW numbers AS SELECT rowid, symbol FROM rows_in;

CREATE VIEW latest AS SELECT symbol FROM rows_in ORDER BY "ROWID" DESC;

CREATE VIEW joined AS SELECT l.symbol FROM rows_in AS l JOIN rows_in AS r USING (rowid);

CREATE SINK printed FROM (SELECT n.price FROM rows_in AS n JOIN rows_in AS r ON r.rowid = n.price) WITH (connector = 'stdout');
