-- The http connector: who asks.
--
-- Every key, token, password, passphrase and secret of an `auth.` option is treated as a secret, written as
-- one or not: no message and no SHOW CREATE has it.

CREATE SECRET auth_password WITH (backend = 'meta') AS 'password';
CREATE SECRET auth_key WITH (backend = 'meta') AS 'key';
CREATE SECRET auth_signing WITH (backend = 'meta') AS 'signing secret';

CREATE SOURCE auth_basic (a BIGINT) WITH (
    connector = 'http', url = 'https://api.example.com/rows', interval = '1m',
    auth.type = 'basic', auth.username = 'reader', auth.password = SECRET auth_password,
);

CREATE SOURCE auth_bearer (a BIGINT) WITH (
    connector = 'http', url = 'https://api.example.com/rows', interval = '1m',
    auth.type = 'bearer', auth.token = SECRET auth_key,
);

CREATE SOURCE auth_api_key_in_header (a BIGINT) WITH (
    connector = 'http', url = 'https://api.example.com/rows', interval = '1m',
    auth.type = 'api-key', auth.header = 'X-API-Key', auth.key = SECRET auth_key,
);

CREATE SOURCE auth_api_key_in_query (a BIGINT) WITH (
    connector = 'http', url = 'https://api.example.com/rows', interval = '1m',
    auth.type = 'api-key', auth.param = 'api_key', auth.key = SECRET auth_key,
);

-- Client credentials (RFC 6749, section 4.4): the token is fetched, kept, and renewed before it ends.
CREATE SOURCE auth_oauth2 (a BIGINT) WITH (
    connector = 'http', url = 'https://api.example.com/rows', interval = '1m',
    auth.type = 'oauth2',
    auth.token_url = 'https://login.example.com/oauth/token',
    auth.client_id = 'omlsp',
    auth.client_secret = SECRET auth_password,
    auth.scope = 'read:rows',
    auth.audience = 'https://api.example.com',
    auth.client_auth = 'basic',
);

-- A signature over each request. This is how KuCoin wants it: in a header, with the instant, the key and
-- a passphrase in headers of their own.
CREATE SOURCE auth_hmac_header (a BIGINT) WITH (
    connector = 'http', url = 'https://api.kucoin.com/api/v1/accounts', interval = '1m',
    auth.type = 'hmac-sha256',
    auth.secret = SECRET auth_signing,
    auth.header = 'KC-API-SIGN',
    auth.key = SECRET auth_key,
    auth.key_header = 'KC-API-KEY',
    auth.passphrase = SECRET auth_password,
    auth.passphrase_header = 'KC-API-PASSPHRASE',
    auth.passphrase_signed = true,
    auth.timestamp_header = 'KC-API-TIMESTAMP',
    auth.timestamp_unit = 'ms',
    auth.string_to_sign = '{timestamp}{method}{path_query}{body}',
    auth.encoding = 'base64',
    'headers.KC-API-KEY-VERSION' = '2',
    jq = '.data[]',
);

-- And this is how Binance does: in the query, after all that is signed.
CREATE SOURCE auth_hmac_query (a BIGINT) WITH (
    connector = 'http', url = 'https://api.binance.com/api/v3/account', interval = '1m',
    auth.type = 'hmac-sha256',
    auth.secret = SECRET auth_signing,
    auth.signature_param = 'signature',
    auth.key = SECRET auth_key,
    auth.key_header = 'X-MBX-APIKEY',
    auth.timestamp_param = 'timestamp',
    auth.encoding = 'hex',
    jq = '.balances[]',
);
