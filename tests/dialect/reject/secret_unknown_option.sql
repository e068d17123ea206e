-- An option that a secret does not have.

CREATE SECRET token WITH (backend = 'meta', lifetime = '1h') AS 'a value';
