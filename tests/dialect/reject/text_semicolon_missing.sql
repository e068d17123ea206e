-- Two statements without a semicolon between them.

CREATE VIEW one AS SELECT 1 AS one
CREATE VIEW two AS SELECT 2 AS two;
