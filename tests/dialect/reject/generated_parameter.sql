-- Parameters: an expression takes none.

CREATE TABLE t (a INT, first BIGINT AS ($2), second BIGINT AS (a + ?))
WITH (connector = 'http', url = 'https://example.com', interval = '1m');
