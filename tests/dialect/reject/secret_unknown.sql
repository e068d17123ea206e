-- A secret that nobody defines; a near name is suggested.

CREATE SECRET exchange_key WITH (backend = 'meta') AS 'a value';

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com', interval = '1m', headers.X = SECRET exchange_kay);
