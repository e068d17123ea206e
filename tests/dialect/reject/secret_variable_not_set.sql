-- The variable that holds the value is not set.

CREATE SECRET token WITH (backend = 'env') AS 'OMLSP_NOT_SET_ANYWHERE';
