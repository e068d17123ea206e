-- DESCRIBE without a name.

DESCRIBE;
