-- Functions that read what a text names.

CREATE SOURCE ticks (n BIGINT) WITH (connector = 'generate');

CREATE VIEW by_name AS SELECT n FROM query_table('ticks');

CREATE MATERIALIZED VIEW by_text AS
SELECT * FROM (SELECT * FROM query('SELECT n FROM ticks')) AS inner_query;

CREATE MATERIALIZED VIEW without_a_tree AS PIVOT (SELECT n FROM "Query_Table"('ticks')) ON n IN (1) USING count(*);

CREATE VIEW by_tree AS FROM json_execute_serialized_sql(json_serialize_sql('SELECT n FROM ticks'));

CREATE VIEW by_macro AS FROM histogram(ticks, n);

CREATE VIEW by_macro_without_a_tree AS PIVOT (FROM histogram('ticks', n)) ON bin IN ('1') USING histogram(count);
