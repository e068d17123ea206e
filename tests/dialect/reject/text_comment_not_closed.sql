-- A comment that is never closed.

CREATE VIEW one AS SELECT 1 AS one; /* and then
