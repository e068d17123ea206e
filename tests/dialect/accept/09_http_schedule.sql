-- The http connector: when it is asked.
--
-- Exactly one of `schedule` (cron, five fields, the minute first) and `interval`. A schedule follows the
-- wall clock of `timezone`. A tick that comes while the last poll still runs is left out; with
-- `overlap = 'queue'` one of them waits.

CREATE SOURCE schedule_cron (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', schedule = '*/5 * * * *');

CREATE SOURCE schedule_weekdays (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    schedule = '30 9 * * 1-5',
    timezone = 'America/New_York',
    overlap = 'skip',
);

CREATE SOURCE schedule_lists (a BIGINT) WITH (
    connector = 'http',
    url = 'https://api.example.com/rows',
    schedule = '0,15,30,45 8-18/2 1 JAN,JUL *',
    timezone = 'UTC',
);

CREATE SOURCE schedule_interval (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '500ms', overlap = 'queue');

CREATE SOURCE schedule_long_interval (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1h');
