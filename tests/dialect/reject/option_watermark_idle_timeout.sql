-- An idle timeout of what has no watermark, and one that is none.

CREATE SOURCE without (n BIGINT) WITH (connector = 'generate', watermark.idle_timeout = '5s');

CREATE SOURCE wrong (n BIGINT, ts TIMESTAMP AS (make_timestamp_ms(n)), WATERMARK FOR ts AS ts)
WITH (connector = 'generate', watermark.idle_timeout = 'soon');
