-- Only a Kafka message has a key, a partition and an offset.

CREATE SOURCE rows_in (n BIGINT) INCLUDE offset WITH (connector = 'generate');
