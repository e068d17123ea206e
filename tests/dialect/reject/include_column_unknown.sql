-- Without AS a part has the name `kafka_` and its own.

CREATE TABLE rows_in (n BIGINT, place BIGINT AS ("offset" + 1), PRIMARY KEY (partition)) INCLUDE offset INCLUDE partition
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows');
