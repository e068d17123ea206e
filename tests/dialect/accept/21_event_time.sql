-- Event time, and what a message carries beside its rows.
--
-- WATERMARK says how late a row may be; a view that EMITs ON WINDOW CLOSE gives the result of a window
-- once, when the watermark has passed its end, instead of a change with each batch. A source without rows
-- for `watermark.idle_timeout` does not hold windows open that others fill too. INCLUDE makes columns
-- of a Kafka message's key, partition, offset, timestamp and headers.

CREATE SOURCE event_trades (
    symbol  STRING,
    price   DOUBLE,
    made_at TIMESTAMP,
    WATERMARK FOR made_at AS made_at - INTERVAL '5 seconds',
)
INCLUDE key AS message_key
INCLUDE partition
INCLUDE offset AS message_offset
INCLUDE timestamp AS sent_at
INCLUDE header 'origin' AS origin
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'trades', watermark.idle_timeout = '30s');

CREATE MATERIALIZED VIEW event_minutes AS
SELECT symbol, time_bucket(INTERVAL '1 minute', made_at) AS minute, max(price) AS high
FROM event_trades
GROUP BY symbol, minute
EMIT ON WINDOW CLOSE;

CREATE SINK event_sessions FROM (
    SELECT symbol, window_start, window_end, count(*) AS trades
    FROM SESSION(event_trades, made_at, INTERVAL '5' MINUTE, symbol)
    GROUP BY symbol, window_start, window_end
    EMIT ON WINDOW CLOSE
) WITH (connector = 'stdout');
