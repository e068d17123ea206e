SELECT id, name, starttime
FROM (SELECT DISTINCT id, name, make_timestamp(epoch_us(date_time) // 10000000 * 10000000) AS starttime FROM person) AS came
WHERE EXISTS (
    SELECT 1 FROM auction
    WHERE seller = came.id AND date_time >= starttime AND date_time < starttime + INTERVAL '10' SECOND
)
