-- DROP without a name: CASCADE is none.

DROP TABLE CASCADE;
