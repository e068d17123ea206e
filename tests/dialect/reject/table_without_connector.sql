-- Options that do not name a connector.

CREATE TABLE rows_in (a BIGINT) WITH (url = 'https://api.example.com/rows', interval = '10s');
