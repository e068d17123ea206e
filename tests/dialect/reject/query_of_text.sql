-- Functions that read what a text names.

CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate');

CREATE VIEW by_name AS SELECT n FROM query_table('ticks');

CREATE MATERIALIZED VIEW by_text AS
SELECT * FROM (SELECT * FROM query('SELECT n FROM ticks')) AS inner_query;
