-- A quote that is never closed. It must not take the statements after it along: the fault in the last one
-- is reported too.

CREATE SOURCE first (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows, interval = '10s');

CREATE VIEW second AS SELECT missing FROM first;
