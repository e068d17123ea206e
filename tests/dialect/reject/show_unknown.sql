-- A list that there is not; a near one is suggested.

SHOW TABELS;
