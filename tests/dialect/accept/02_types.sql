-- Types.
--
-- Types are DuckDB's, by its own names and their aliases. JSON fills them: a missing key and null give
-- NULL, a number in a text converts, objects and arrays fit STRUCT, MAP, lists and JSON. What does not
-- fit is an error of that row, never a silent NULL. With exactly one column a scalar is a row too, and `null` among
-- a filter's outputs a row of NULL.

CREATE SOURCE types_all (
    c_boolean   BOOLEAN,
    c_tinyint   TINYINT,
    c_smallint  SMALLINT,
    c_integer   INTEGER,
    c_bigint    BIGINT,
    c_hugeint   HUGEINT,
    c_utinyint  UTINYINT,
    c_usmallint USMALLINT,
    c_uinteger  UINTEGER,
    c_ubigint   UBIGINT,
    c_float     FLOAT,
    c_double    DOUBLE,
    c_decimal   DECIMAL(18, 2),
    c_numeric   NUMERIC(10, 4),
    c_varchar   VARCHAR,
    c_string    STRING,
    c_text      TEXT,
    c_blob      BLOB,
    c_date      DATE,
    c_time      TIME,
    c_timestamp TIMESTAMP,
    c_stamp_s   TIMESTAMP_S,
    c_stamp_ms  TIMESTAMP_MS,
    c_stamp_ns  TIMESTAMP_NS,
    c_interval  INTERVAL,
    c_uuid      UUID,
    c_json      JSON,
    c_struct    STRUCT(name VARCHAR, price DOUBLE, levels STRUCT(bid DOUBLE, ask DOUBLE)[]),
    c_map       MAP(VARCHAR, DOUBLE),
    c_list      DOUBLE[],
    c_lists     INTEGER[][],
    c_array     DOUBLE[2],
) WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1m');

-- Parts of nested values are read as in DuckDB.
CREATE VIEW types_view AS
SELECT c_struct.name, c_struct.levels[1].bid AS best_bid, c_map['fee'] AS fee, unnest(c_list) AS item
FROM types_all;
