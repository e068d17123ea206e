-- Sinks.
--
-- A sink receives the changes of a relation, in order: first the rows that are already there, then each
-- change. `snapshot = 'false'` leaves out those already there. Its three forms:

CREATE TABLE sinks_quotes (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/quotes', interval = '10s');

CREATE SINK sinks_from_relation FROM sinks_quotes WITH (connector = 'stdout');

CREATE SINK sinks_from_query FROM (SELECT symbol FROM sinks_quotes WHERE price > 1) WITH (connector = 'stdout');

CREATE SINK sinks_as_query AS SELECT symbol, price * 2 AS twice FROM sinks_quotes WITH (connector = 'stdout');

-- A query may hold the word WITH itself: the options are the last one's.
CREATE SINK sinks_as_cte AS
WITH high AS (SELECT symbol FROM sinks_quotes WHERE price > 100)
SELECT symbol FROM high
WITH (connector = 'stdout');

CREATE SINK sinks_without_snapshot FROM sinks_quotes WITH (connector = 'stdout', snapshot = 'false');

CREATE SINK sinks_with_snapshot FROM sinks_quotes WITH (connector = 'stdout', snapshot = true);

CREATE SINK IF NOT EXISTS sinks_if_not_exists FROM sinks_quotes WITH (connector = 'stdout');

CREATE OR REPLACE SINK sinks_or_replace FROM sinks_quotes WITH (connector = 'stdout');
