-- A reserved word as a name needs double quotes.

CREATE TABLE select (n BIGINT) WITH (connector = 'generate');
