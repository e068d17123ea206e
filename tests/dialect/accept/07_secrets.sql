-- Secrets.
--
-- A secret has a name, and a value that nobody is shown. `meta` takes the value from here; `env` names a
-- variable of the environment, `file` a file (its last line break is left off), and both have to be there
-- when the pipeline is validated.

CREATE SECRET secrets_meta WITH (backend = 'meta') AS 'a value';

CREATE SECRET secrets_meta_default WITH (backend = 'meta') AS '${SECRETS_TOKEN:-a default value}';

CREATE SECRET secrets_env WITH (backend = 'env') AS 'PATH';

CREATE SECRET secrets_file WITH (backend = 'file') AS 'tests/dialect/accept/secret.txt';

-- Any option takes one, bare or in quotes.
CREATE SOURCE secrets_used (symbol STRING) WITH (
    connector = 'http',
    url = 'https://api.example.com/private',
    interval = '1m',
    'headers.X-Bare' = SECRET secrets_meta,
    'headers.X-Quoted' = 'SECRET secrets_meta_default',
    'headers.X-File' = SECRET secrets_file,
    params.token = SECRET secrets_env,
);
