-- A watermark on a column that there is not.

CREATE SOURCE rows_in (n BIGINT, WATERMARK FOR made_at AS made_at - INTERVAL '5 seconds') WITH (connector = 'generate');
