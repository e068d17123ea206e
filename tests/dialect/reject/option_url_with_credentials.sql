-- Credentials belong into `auth.*`, not into the URL.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'https://reader:password@api.example.com/rows', interval = '10s');
