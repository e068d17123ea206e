-- A broker is a host and a port.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'kafka', server = 'broker-1:9092,broker-2:kafka', topic = 'rows');
