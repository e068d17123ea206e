-- The time column of a window.

CREATE SOURCE rows_in (n BIGINT, made_at TIMESTAMP AS (make_timestamp_ms(n))) WITH (connector = 'generate');

CREATE VIEW w AS
SELECT n, window_end, nothing
FROM TUMBLE(rows_in, made_att, INTERVAL '1' MINUTE);
