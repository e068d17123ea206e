-- Nor by a file name in the place of a relation.

CREATE VIEW lines AS SELECT * FROM '/etc/passwd';
