-- Bytes are a VARCHAR or a BLOB; the other parts have the type they have.

CREATE SOURCE rows_in (n BIGINT) INCLUDE header 'n' BIGINT AS k
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows');

CREATE SOURCE rows_again (n BIGINT) INCLUDE offset VARCHAR AS place
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows');
