-- A source that would always be idle.

CREATE SOURCE ticks (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS ts)
WITH (connector = 'generate', watermark.idle_timeout = '0ms');
