-- A source has no parameters to put into its URL.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'https://api.example.com/$symbol', interval = '10s');
