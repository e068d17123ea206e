-- The functions of the trigger are functions.

CREATE SOURCE rows_in (n BIGINT, made_at BIGINT AS (TRIGGER_EPOCH_TIME)) WITH (connector = 'generate');
