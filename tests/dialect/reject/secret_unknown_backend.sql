-- A backend that there is not.

CREATE SECRET token WITH (backend = 'vault') AS 'a value';
