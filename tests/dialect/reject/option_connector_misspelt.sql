-- A misspelt name of the option that says what the others are: they are checked as those of the connector that is meant.

CREATE TABLE rows_in (a BIGINT) WITH (
    conector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    timout = '5s',
);

CREATE SECRET token WITH (bakend = 'meta') AS 'a value';
