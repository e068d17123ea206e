-- Views that read each other.

CREATE VIEW one AS SELECT * FROM two;

CREATE VIEW two AS SELECT * FROM three;

CREATE VIEW three AS SELECT * FROM one;
