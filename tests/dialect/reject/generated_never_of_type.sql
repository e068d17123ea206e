-- Expressions whose values can never become of the type of their column.

CREATE SOURCE rows_in (
    n      BIGINT,
    on_day DATE AS (n),
    seen   TIMESTAMP AS (n + 1),
    id     UUID AS (TRIGGER_EPOCH_TIME()),
    bytes  BLOB AS (n),
    list   INT[] AS (n),
    pair   STRUCT(a INT) AS (n > 1),
    days   DATE[] AS ([n]),
    fine   TIMESTAMP AS (make_timestamp_ms(n)),
) WITH (connector = 'generate');

CREATE TEMPORARY TABLE asked ($id BIGINT, price DOUBLE, since DATE AS (price)) WITH (connector = 'lookup-http', url = 'https://api.example.com/$id');
