-- A relation with a schema, in queries without a tree.

CREATE SOURCE ticks (n BIGINT, symbol STRING AS ('A'), price DOUBLE AS (n)) WITH (connector = 'generate');

CREATE MATERIALIZED VIEW by_schema AS PIVOT data.ticks ON symbol USING sum(price);

CREATE MATERIALIZED VIEW of_ours AS FROM (PIVOT ticks ON symbol IN ('A') USING sum(price)), omlsp.entity;

CREATE MATERIALIZED VIEW of_engine AS PIVOT (SELECT symbol FROM data.ticks) ON symbol IN ('A') USING count(*);
