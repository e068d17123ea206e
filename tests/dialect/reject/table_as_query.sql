-- A table is not made from a query: that is a materialized view.

CREATE TABLE one AS SELECT 1 AS one;
