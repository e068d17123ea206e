-- EXPLAIN without a query.

EXPLAIN;
