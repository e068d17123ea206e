-- A column without a type.

CREATE SOURCE rows_in (n) WITH (connector = 'generate');
