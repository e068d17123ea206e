-- jq knows double quotes only; the place is right behind doubled quotes too.
CREATE TABLE tickers (symbol STRING)
WITH (
    connector = 'http',
    url = 'https://api.example.com/tickers',
    interval = '1s',
    jq = '."a''b" | select(.symbol == ''BTC'') | {symbol}'
);
