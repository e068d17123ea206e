-- Generated columns.
--
-- `column TYPE AS (expression)` is computed from the row's other columns by any scalar expression of
-- DuckDB; also from other generated columns, in whatever order they are written. The result is cast to
-- the column's type.
--
-- TRIGGER_TIME() is the instant that caused the row: the scheduled one of a poll, or that of receipt.
-- TRIGGER_EPOCH_TIME() is the same in milliseconds, and TRIGGER_TIME_EPOCH() another name for it.

CREATE SOURCE generated_columns (
    symbol       STRING,
    bid          DOUBLE,
    ask          DOUBLE,
    made_ms      BIGINT,
    spread_share DOUBLE    AS (spread / nullif(mid, 0)),
    spread       DOUBLE    AS (ask - bid),
    mid          DOUBLE    AS ((ask + bid) / 2),
    base         STRING    AS (split_part(symbol, '-', 1)),
    made_at      TIMESTAMP AS (make_timestamp_ms(made_ms)),
    polled_at    TIMESTAMP AS (TRIGGER_TIME()),
    polled_ms    BIGINT    AS (TRIGGER_EPOCH_TIME()),
    window_end_s BIGINT    AS (TRIGGER_TIME_EPOCH() // 60000 * 60),
    age_ms       BIGINT    AS (TRIGGER_EPOCH_TIME() - made_ms),
    made_again   BIGINT    AS (epoch_ms(made_at)),
    constant     INTEGER   AS (42),
) WITH (connector = 'http', url = 'https://api.example.com/quotes', interval = '10s');
