-- The http connector: answers in pages.
--
-- A poll reads every page, up to `pagination.max_pages`, and says so when it meets that bound.

-- A number or an offset that grows by `.step`, from `.start` on every poll, until a page is empty.
CREATE SOURCE pagination_page (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '1m',
    params.market = 'spot',
    pagination.type = 'page-based',
    pagination.page_param = 'offset',
    pagination.start = 0,
    pagination.step = 100,
    pagination.size_param = 'limit',
    pagination.size = 100,
    pagination.max_pages = 50,
);

-- A field of the page's last row. The next poll goes on from there, unless `.resume` is false.
CREATE SOURCE pagination_cursor (id BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '1m',
    pagination.type = 'cursor-based',
    pagination.cursor_param = 'from_id',
    pagination.cursor_id = 'id',
    pagination.resume = false,
);

-- A header of the answer.
CREATE SOURCE pagination_header (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '1m',
    pagination.type = 'header-based',
    pagination.next_header = 'X-Next-Cursor',
    pagination.cursor_param = 'cursor',
);

-- A link or a token in the body, found by a jq filter over the whole answer.
CREATE SOURCE pagination_body_link (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '1m',
    jq = '.rows[]',
    pagination.type = 'body_link-based',
    pagination.body_link_path = '.paging.next',
    pagination.cursor_param = 'cursor',
);

-- The Link header of RFC 8288, relation `next`.
CREATE SOURCE pagination_link_header (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    interval = '1m',
    pagination.type = 'link-header',
);
