-- A window of what there is not, and a fault behind a window.

CREATE SOURCE rows_in (n BIGINT, made_at TIMESTAMP AS (make_timestamp_ms(n))) WITH (connector = 'generate');

CREATE VIEW v AS SELECT n FROM HOP(rows_on, made_at, INTERVAL '1' MINUTE, INTERVAL '1' HOUR);

CREATE VIEW w AS
SELECT count(*) AS n FROM TUMBLE(rows_in, made_at, INTERVAL '1' MINUTE) AS r WHERE r.nn > 0 GROUP BY window_start;
