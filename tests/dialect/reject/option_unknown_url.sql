-- An option that the connector does not have, and the one it has is missing.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', ulr = 'https://api.example.com/rows', interval = '10s');
