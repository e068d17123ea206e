-- Queries whose rows are never final.

CREATE SOURCE rows_in (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
WITH (connector = 'generate');

CREATE SOURCE others (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
WITH (connector = 'generate');

CREATE TABLE latest (n BIGINT PRIMARY KEY, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS ts)
WITH (connector = 'generate');

CREATE MATERIALIZED VIEW not_grouped_by_it AS
SELECT n % 7 AS part, count(*) AS n FROM TUMBLE(rows_in, ts, INTERVAL '1' MINUTE) GROUP BY part EMIT ON WINDOW CLOSE;

CREATE MATERIALIZED VIEW of_a_key AS
SELECT window_start, count(*) AS n FROM TUMBLE(latest, ts, INTERVAL '1' MINUTE) GROUP BY ALL EMIT ON WINDOW CLOSE;

CREATE MATERIALIZED VIEW joined_by_another AS
SELECT a.window_start, count(*) AS n
FROM TUMBLE(rows_in, ts, INTERVAL '1' MINUTE) AS a JOIN TUMBLE(others, ts, INTERVAL '1' MINUTE) AS b ON a.n = b.n
GROUP BY a.window_start EMIT ON WINDOW CLOSE;

CREATE MATERIALIZED VIEW ranked_over_all AS
SELECT window_start, n, rank() OVER (ORDER BY n) AS place FROM TUMBLE(rows_in, ts, INTERVAL '1' MINUTE)
EMIT ON WINDOW CLOSE;

CREATE MATERIALIZED VIEW limited AS
SELECT window_start, n FROM TUMBLE(rows_in, ts, INTERVAL '1' MINUTE) ORDER BY n LIMIT 3 EMIT ON WINDOW CLOSE;

CREATE SINK of_a_changing_view FROM (SELECT * FROM totals) EMIT ON WINDOW CLOSE WITH (connector = 'stdout');

CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM rows_in;
