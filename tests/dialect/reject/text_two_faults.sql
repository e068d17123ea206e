-- All faults of a file are reported at once, not only the first.

CREATE SOURCE one (n BIGINT) WITH (connector = 'generator');

CREATE SOURCE two (n BIGNT) WITH (connector = 'generate');

CREATE VIEW three AS SELECT n FROM tow;
