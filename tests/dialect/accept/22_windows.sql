-- Windows over time, as table functions.
--
-- TUMBLE, HOP and SESSION give every column of a relation, then `window_start` and `window_end`. The relation
-- is a TABLE, SOURCE, VIEW, CTE or a query in parentheses; the lengths are INTERVALs in any of DuckDB's forms.

CREATE SOURCE window_bids (
    n       BIGINT,
    auction BIGINT    AS (n % 100),
    price   BIGINT    AS (hash(n) % 10000),
    made_at TIMESTAMP AS (make_timestamp_ms(1767225600000 + n * 10)),
) WITH (connector = 'generate', rows = 10000);

-- Windows side by side: each row is in one.
CREATE MATERIALIZED VIEW window_highest AS
SELECT window_start, window_end, max(price) AS price
FROM TUMBLE(window_bids, made_at, INTERVAL '10' SECOND)
GROUP BY window_start, window_end;

-- Windows that overlap: one begins every 2 seconds and lasts 10, so each row is in five.
CREATE MATERIALIZED VIEW window_hottest AS
SELECT auction, window_start, count(*) AS bids
FROM HOP(window_bids, made_at, INTERVAL 2 SECOND, INTERVAL '10 seconds') AS w
GROUP BY auction, window_start;

-- A session ends when its key, here an auction, has been quiet for the gap.
CREATE MATERIALIZED VIEW window_sessions AS
SELECT auction, window_start, window_end, count(*) AS bids
FROM SESSION(window_bids, made_at, INTERVAL '1' MINUTE, auction)
GROUP BY auction, window_start, window_end;

-- The last argument of TUMBLE and HOP moves the windows: these begin at half past.
CREATE VIEW window_shifted AS
SELECT auction, window_start
FROM TUMBLE((SELECT * FROM window_bids WHERE price > 10), made_at, INTERVAL '1' HOUR, INTERVAL '30' MINUTE);
