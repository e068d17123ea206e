WITH periods AS (
    SELECT make_timestamp((epoch_us(date_time) // 10000000 + 1) * 10000000) AS ends, max(price) AS highest FROM bid GROUP BY ends
)
SELECT auction, price, bidder, date_time FROM bid
JOIN periods ON price = highest AND date_time >= ends - INTERVAL '10' SECOND AND date_time <= ends
