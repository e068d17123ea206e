-- A query that is none.

SELECT FROM WHERE;
