-- A secret that does not say where its value comes from.

CREATE SECRET token WITH () AS 'a value';
