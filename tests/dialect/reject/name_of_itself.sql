-- A view that reads itself.

CREATE VIEW one AS SELECT * FROM one;
