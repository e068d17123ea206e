-- A `${` without its `}`.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '10s',
    params.key = '${OMLSP_NOT_SET_ANYWHERE',
);
