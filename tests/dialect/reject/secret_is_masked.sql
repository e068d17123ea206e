-- A fault in an option whose value is a secret does not show the value.

CREATE SECRET pause WITH (backend = 'meta') AS 'never-show-this';

CREATE SOURCE rows_in (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com', interval = SECRET pause);
