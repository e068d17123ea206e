-- What a watermark cannot be made of.

CREATE SOURCE of_a_number (n BIGINT, WATERMARK FOR n AS n - 5) WITH (connector = 'generate');

CREATE SOURCE to_a_number (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS epoch_ms(ts) - 5)
WITH (connector = 'generate');

CREATE SOURCE of_an_aggregate (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS max(ts))
WITH (connector = 'generate');

CREATE SOURCE of_the_trigger (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS TRIGGER_TIME())
WITH (connector = 'generate');

CREATE SOURCE of_no_column (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS tss - INTERVAL '1' SECOND)
WITH (connector = 'generate');
