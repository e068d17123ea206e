-- Entities of all kinds share one name space, and names are compared without regard to case.

CREATE VIEW prices AS SELECT 1 AS one;

CREATE SECRET Prices WITH (backend = 'meta') AS 'a value';
