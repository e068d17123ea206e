-- Sinks that would write over each other, by different ways to write one path.

CREATE TABLE t (n BIGINT) WITH (connector = 'generate');

CREATE SINK a FROM t WITH (connector = 'file', path = 'out/rows.json');

CREATE SINK b FROM (SELECT n FROM t WHERE n > 1) WITH (connector = 'file', path = './out/rows-{n}.json');

CREATE SINK c FROM t WITH (connector = 'file', path = 'out/rows.csv', encode = 'csv');

CREATE SINK d FROM t WITH (connector = 'file', path = 'out/in/../rows.csv', encode = 'csv');
