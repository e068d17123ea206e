-- A secret without a value.

CREATE SECRET token WITH (backend = 'meta');
