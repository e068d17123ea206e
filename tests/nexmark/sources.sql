-- Nexmark's three streams, out of nothing and the same in every run: of 50 events one is a person, three are
-- auctions and 46 are bids, a millisecond apart. Names and columns are those of RisingWave's Nexmark.
--
-- Each stream numbers its own rows; `event` is the place of a row among all events, from which its time and what
-- it may refer to follow. Most auctions are of a few hot sellers, most bids on a few hot auctions.

CREATE SOURCE person (
    n             BIGINT,
    seed          BIGINT,
    event         BIGINT    AS (50 * n),
    id            BIGINT    AS (1000 + n),
    name          VARCHAR   AS (['Peter', 'Paul', 'Luke', 'John', 'Saul', 'Vicky', 'Kate'][1 + (hash(n, seed) % 7)::BIGINT] || ' ' || n),
    email_address VARCHAR   AS ('person' || n || '@example.com'),
    credit_card   VARCHAR   AS (lpad((hash(n, seed, 'card') % 10000)::VARCHAR, 4, '0')),
    city          VARCHAR   AS (['Phoenix', 'Palo Alto', 'Boise', 'Portland', 'Seattle', 'Cheyenne'][1 + (hash(n, seed, 'city') % 6)::BIGINT]),
    state         VARCHAR   AS (['AZ', 'CA', 'ID', 'OR', 'WA', 'WY'][1 + (hash(n, seed, 'city') % 6)::BIGINT]),
    date_time     TIMESTAMP AS (make_timestamp_ms(1436918400000 + event)),
    extra         VARCHAR   AS (md5(id::VARCHAR)),
    WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND
) WITH (connector = 'generate', rows = '${NEXMARK_PERSONS:-800}', seed = 7);

CREATE SOURCE auction (
    n           BIGINT,
    seed        BIGINT,
    event       BIGINT    AS (50 * (n // 3) + 1 + n % 3),
    id          BIGINT    AS (1000 + n),
    item_name   VARCHAR   AS ('item ' || n),
    description VARCHAR   AS (md5(n::VARCHAR)),
    initial_bid BIGINT    AS ((hash(n, seed, 'bid') % 1000)::BIGINT),
    reserve     BIGINT    AS (initial_bid + (hash(n, seed, 'reserve') % 1000)::BIGINT),
    date_time   TIMESTAMP AS (make_timestamp_ms(1436918400000 + event)),
    expires     TIMESTAMP AS (date_time + to_milliseconds(1000 + (hash(n, seed, 'expires') % 20000)::BIGINT)),
    seller      BIGINT    AS (1000 + if(hash(n, seed, 'hot') % 4 > 0, (event // 50) // 100 * 100, (hash(n, seed, 'seller') % (event // 50 + 1))::BIGINT)),
    category    BIGINT    AS (10 + (hash(n, seed, 'category') % 5)::BIGINT),
    extra       VARCHAR   AS (md5(id::VARCHAR)),
    WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND
) WITH (connector = 'generate', rows = '${NEXMARK_AUCTIONS:-2400}', seed = 7);

CREATE SOURCE bid (
    n         BIGINT,
    seed      BIGINT,
    event     BIGINT    AS (50 * (n // 46) + 4 + n % 46),
    auction   BIGINT    AS (1000 + if(hash(n, seed, 'hot') % 2 > 0, (event // 50) * 3 // 100 * 100, (hash(n, seed, 'auction') % ((event // 50 + 1) * 3))::BIGINT)),
    bidder    BIGINT    AS (1000 + (hash(n, seed, 'bidder') % (event // 50 + 1))::BIGINT),
    price     BIGINT    AS (100 + (hash(n, seed, 'price') % 10000000)::BIGINT),
    channel   VARCHAR   AS (['Google', 'Facebook', 'Baidu', 'Apple'][1 + (hash(n, seed, 'channel') % 4)::BIGINT]),
    url       VARCHAR   AS ('https://www.nexmark.com/' || channel || '/item.htm?query=1'),
    date_time TIMESTAMP AS (make_timestamp_ms(1436918400000 + event)),
    extra     VARCHAR   AS (md5(n::VARCHAR)),
    WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND
) WITH (connector = 'generate', rows = '${NEXMARK_BIDS:-36800}', seed = 7);
