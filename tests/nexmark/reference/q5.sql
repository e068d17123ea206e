WITH starts AS (
    SELECT unnest(range(min(date_time) - INTERVAL '10' SECOND, max(date_time) + INTERVAL '2' SECOND, INTERVAL '2' SECOND)) AS start
    FROM bid
), counts AS (
    SELECT start, auction, count(*) AS num
    FROM (SELECT DISTINCT date_trunc('minute', start) + to_seconds(second(start) // 2 * 2) AS start FROM starts) AS windows
    JOIN bid ON date_time >= start AND date_time < start + INTERVAL '10' SECOND
    GROUP BY start, auction
)
SELECT auction, num FROM counts WHERE num = (SELECT max(num) FROM counts AS others WHERE others.start = counts.start)
