-- The broker by two of its names.

CREATE SOURCE trades (symbol STRING) WITH (
    connector = 'kafka',
    topic = 'trades',
    properties.bootstrap.server = '127.0.0.1:9092',
    properties.bootstrap.servers = '127.0.0.1:9092',
);
