-- SET without a value.

SET timezone;
