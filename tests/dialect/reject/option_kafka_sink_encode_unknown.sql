-- `encode` is json or avro.

CREATE SOURCE rows_in (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '10s');

CREATE SINK rows_out FROM rows_in WITH (
    connector = 'kafka',
    server = '127.0.0.1:9092',
    topic = 'rows',
    encode = 'csv',
);
