WITH final AS (
    SELECT auction.id, any_value(category) AS category, max(price) AS price
    FROM auction JOIN bid ON auction.id = bid.auction AND bid.date_time >= auction.date_time AND bid.date_time <= expires
    GROUP BY auction.id
)
SELECT category, avg(price) AS avg FROM final GROUP BY category
