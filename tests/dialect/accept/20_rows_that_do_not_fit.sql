-- Rows that do not fit, wherever they come from.
--
-- `on_error` and `timestamp_unit` mean the same for every connector that reads JSON: what becomes of a
-- row that does not fit its types, and what a number in a TIMESTAMP column counts. Without the latter the
-- unit is guessed by the number's magnitude.

CREATE SOURCE unfit_ws (a BIGINT, made_at TIMESTAMP)
WITH (connector = 'ws', url = 'wss://stream.example.com/rows', on_error = 'skip', timestamp_unit = 'us');

CREATE SOURCE unfit_kafka (a BIGINT, made_at TIMESTAMP)
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows', on_error = 'fail', timestamp_unit = 's');
