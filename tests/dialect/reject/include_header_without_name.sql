-- A header is named in quotes.

CREATE SOURCE rows_in (n BIGINT) INCLUDE header origin AS origin
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows');
