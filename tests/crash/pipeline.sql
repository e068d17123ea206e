-- Every way in which rows are kept, over a server that knows what it served. A poll every few
-- milliseconds keeps a commit under way at nearly every instant.

CREATE TABLE pages (poll BIGINT, page BIGINT, line BIGINT) WITH (
    connector = 'http', url = '${URL}/pages', interval = '10ms',
    pagination.type = 'page-based', pagination.page_param = 'page',
);

CREATE SOURCE heads (poll BIGINT, page BIGINT, line BIGINT) WITH (
    connector = 'http', url = '${URL}/heads', interval = '10ms',
    pagination.type = 'header-based', pagination.next_header = 'X-Next', pagination.cursor_param = 'cursor',
);
CREATE MATERIALIZED VIEW heads_kept AS SELECT poll, page, line FROM heads;

CREATE TABLE events (id BIGINT, grp BIGINT) WITH (
    connector = 'http', url = '${URL}/events', interval = '10ms',
    pagination.type = 'cursor-based', pagination.cursor_param = 'after', pagination.cursor_id = 'id',
);
CREATE TABLE latest (k BIGINT, id BIGINT, PRIMARY KEY (k)) WITH (
    connector = 'http', url = '${URL}/latest', interval = '10ms',
    pagination.type = 'cursor-based', pagination.cursor_param = 'after', pagination.cursor_id = 'id',
);

CREATE TEMP TABLE names ($grp BIGINT, label STRING) WITH (
    connector = 'lookup-http', url = '${URL}/names', params.grp = '$grp', lookup.concurrency = 4,
);
CREATE VIEW named AS
SELECT e.id, e.grp, n.label FROM events AS e LEFT JOIN names AS n ON e.grp = n.grp;
CREATE MATERIALIZED VIEW named_kept AS SELECT id, grp, label FROM named;

CREATE MATERIALIZED VIEW even AS SELECT id, grp FROM events WHERE id % 2 = 0;
CREATE MATERIALIZED VIEW by_grp AS SELECT grp, count(*) AS n, sum(id) AS total FROM events GROUP BY grp;
CREATE MATERIALIZED VIEW latest_odd AS SELECT k, id FROM latest WHERE id % 2 = 1;
CREATE MATERIALIZED VIEW latest_sum AS SELECT count(*) AS n, sum(id) AS total FROM latest;

CREATE SINK files FROM events WITH (connector = 'file', path = 'out/events.json', roll.interval = '60ms');
CREATE SINK posts FROM (SELECT id FROM events) WITH (
    connector = 'http', url = '${URL}/posts', method = 'POST', batch.max_rows = 64, encode = 'jsonl',
);
CREATE SINK moves FROM latest WITH (
    connector = 'http', url = '${URL}/moves', method = 'POST', batch.max_rows = 64, encode = 'jsonl',
    changes = 'op',
);
