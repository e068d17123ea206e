-- A name defined twice; the message shows both places.

CREATE VIEW one AS SELECT 1 AS one;

CREATE VIEW one AS SELECT 2 AS one;
