-- The columns of INCLUDE are columns of the relation like all others.

CREATE SOURCE rows_in (n BIGINT, k VARCHAR) INCLUDE key AS k INCLUDE offset INCLUDE offset
WITH (connector = 'kafka', server = '127.0.0.1:9092', topic = 'rows');
