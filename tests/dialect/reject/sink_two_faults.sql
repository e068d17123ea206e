-- A sink without a sound query has options all the same.

CREATE SOURCE numbers (n BIGINT) WITH (connector = 'generate', rows = 10);

CREATE SINK of_nothing FROM nowhere WITH (connector = 'stdout', zz = 1);

CREATE SINK of_a_fault AS SELECT q FROM numbers WITH (connector = 'kafka', topic = 't', key = 'q', acks = 'all');

CREATE SINK of_no_query FROM (SELECT n FROM) WITH (connector = 'file', path = 'out.parquet', roll.size = '0');

CREATE SINK below FROM (SELECT * FROM broken) WITH (connector = 'http', url = 'example');

CREATE VIEW broken AS SELECT n + 'x'::DATE FROM numbers;
