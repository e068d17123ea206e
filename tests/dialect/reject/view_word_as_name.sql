-- `at` is a name where a column is declared, and a word of the language in a query.
CREATE SOURCE rows_in (n BIGINT, at BIGINT AS (n * 2)) WITH (connector = 'generate', rows = 3);

CREATE VIEW times AS SELECT n, at FROM rows_in WHERE n > 1;
