-- Files, names and options.
--
-- A statement ends with a semicolon. Comments are `--` to the end of the line and /* from here to there,
-- /* also nested */ */. Statements stand in any order: what depends on what decides. Here the sink comes
-- before the view it reads, and the view before its source.

CREATE SINK files_sink FROM files_view WITH (connector = 'stdout');

CREATE VIEW files_view AS SELECT "Symbol", price FROM FILES_SOURCE WHERE note <> 'a; b';

-- Names are compared without regard to case and shown as they were written; a name in double quotes may
-- hold anything. The key of an option is bare or quoted, dots are part of it, and a comma may follow the
-- last option and the last column. Values are texts in single quotes (a quote is doubled), bare words, or
-- bare numbers.
--
-- ${NAME} in a quoted value is the environment's; a variable without a default has to be set.
CREATE SOURCE Files_Source (
    "Symbol" STRING,
    price    DOUBLE, -- a comment inside
    note     STRING,
) WITH (
    connector = http,
    'url' = '${FILES_URL:-https://api.example.com}/v1/${FILES_PATH:-rows}',
    interval = '30s',
    conditional = false,
    retry.max_attempts = 3,
    headers.Accept = 'application/json',
    'headers.X-Note' = 'it''s a header; not an end',
);
