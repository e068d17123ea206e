-- The file that holds the value is not there.

CREATE SECRET token WITH (backend = 'file') AS 'tests/dialect/reject/not-there.txt';
