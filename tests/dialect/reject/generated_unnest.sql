-- A generated column is one value of each row.

CREATE SOURCE rows_in (n BIGINT, tags BIGINT[], tag BIGINT AS (1 + UNNEST(tags)), word STRING AS (regexp_split_to_table('a b', ' ')))
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1m');
