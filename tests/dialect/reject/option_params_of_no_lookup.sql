-- A source has no parameters to put into its query.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    params.symbol = '$symbol',
);
