-- A PIVOT whose columns are those of the rows that happen to be there.

CREATE TABLE ticks (n BIGINT, symbol STRING AS ('A'), price DOUBLE AS (n)) WITH (connector = 'generate');

CREATE VIEW kept_nowhere AS PIVOT ticks ON symbol USING sum(price);

CREATE MATERIALIZED VIEW two AS
SELECT * FROM (PIVOT ticks ON symbol IN ('A') USING sum(price)) JOIN (PIVOT ticks ON symbol, n IN (1)) USING (n);

CREATE SINK of_a_query FROM (WITH wide AS (PIVOT ticks ON symbol IN (SELECT symbol FROM ticks)) FROM wide)
WITH (connector = 'stdout');

CREATE TABLE without_type (n BIGINT, symbol) WITH (connector = 'generate');

PIVOT without_type ON symbol;
