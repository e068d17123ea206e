-- What one option lacks does not hide what another has too much.

CREATE SOURCE orders (id BIGINT) WITH (connector = 'kafka', server = 'localhost:9092', properties.foo = 'x');

CREATE SINK kept FROM orders WITH (connector = 'kafka', topic = 'a b', server = 'localhost:9092', properties.linger.mss = '5');
