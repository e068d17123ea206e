-- Calls of window functions that cannot be.

CREATE SOURCE rows_in (n BIGINT, made_at TIMESTAMP AS (make_timestamp_ms(n))) WITH (connector = 'generate');

CREATE VIEW no_size AS SELECT n FROM TUMBLE(rows_in, made_at);
CREATE VIEW size_zero AS SELECT n FROM TUMBLE(rows_in, made_at, INTERVAL '0' MINUTE);
CREATE VIEW size_number AS SELECT n FROM TUMBLE(rows_in, made_at, 10);
CREATE VIEW time_number AS SELECT n FROM HOP(rows_in, n, INTERVAL '1' MINUTE, INTERVAL '1' HOUR);
