-- The SQL of a pipeline cannot touch files; only connectors can.

CREATE VIEW lines AS SELECT * FROM read_csv('/etc/passwd');
