-- A pushed source has no schedule.

CREATE SOURCE rows_in (a BIGINT) WITH (
    connector = 'ws',
    url = 'wss://stream.example.com/rows',
    schedule = '* * * * *',
);
