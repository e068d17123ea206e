-- Errors can be asked for, but nothing follows them.

CREATE SOURCE numbers (n BIGINT) WITH (connector = 'generate', rows = 10);

CREATE VIEW problems AS SELECT time, message FROM omlsp_errors WHERE stage <> 'gap';

CREATE VIEW problems_of_today AS SELECT * FROM problems WHERE time >= current_date;

CREATE MATERIALIZED VIEW per_entity AS SELECT entity, count(*) AS n FROM omlsp_errors GROUP BY entity;

CREATE MATERIALIZED VIEW beside AS SELECT n, (SELECT count(*) FROM Omlsp_Errors) AS failed FROM numbers;

CREATE SINK alerts FROM problems_of_today WITH (connector = 'stdout');

CREATE SINK alerts_too AS SELECT n, message FROM numbers, problems WITH (connector = 'stdout');

CREATE SINK all_of_them FROM omlsp_errors WITH (connector = 'stdout');
