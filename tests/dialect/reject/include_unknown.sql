-- A part that a message does not have.

CREATE SOURCE rows_in (n BIGINT) INCLUDE colour WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows');
