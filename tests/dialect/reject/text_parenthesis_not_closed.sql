-- A column list without its closing parenthesis.

CREATE SOURCE rows_in (a BIGINT
WITH (connector = 'generate');
