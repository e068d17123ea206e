-- What a lookup answers is no message.

CREATE TEMPORARY TABLE answers ($symbol VARCHAR, price DOUBLE) INCLUDE key
WITH (connector = 'lookup-http', url = 'http://127.0.0.1/$symbol');
