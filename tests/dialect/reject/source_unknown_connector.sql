-- A connector that there is not; a near one is suggested.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'htttp', url = 'https://api.example.com/rows');
