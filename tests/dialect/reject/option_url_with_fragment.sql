-- The part of a URL after `#` is never sent.

CREATE SOURCE rows_in (a BIGINT) WITH (connector = 'http', url = 'https://api.example.com/rows#top', interval = '10s');
