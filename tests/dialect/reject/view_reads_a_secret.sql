-- A secret is no relation.

CREATE SECRET token WITH (backend = 'meta') AS 'a value';

CREATE VIEW tokens AS SELECT * FROM token;
