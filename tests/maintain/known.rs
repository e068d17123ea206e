//! Queries whose views were once wrong, and some that the random ones are too seldom, over random batches like any
//! other.

use super::pipeline::{Kind, Relation, View};

/// Each is run over so many random histories.
pub const HISTORIES: u64 = 4;

/// Over `t0`, which grows, `t1`, which keeps no rows, and `t2`, which has a key.
pub const QUERIES: &[&str] = &[
    // What a join of joins takes back while it grows was added all the same.
    "WITH w AS (WITH w AS (SELECT a.n, a.id, a.v FROM t1 AS a WHERE a.j IS NOT NULL) \
     SELECT x.n AS c0, x.id AS c1, y.v AS c2 FROM w AS x JOIN w AS y ON x.id = y.id) \
     SELECT x.c0, y.c1, y.c2 FROM w AS x JOIN w AS y ON x.c2 = y.c2",
    // DuckDB's optimizer `common_subplan` lost rows of it.
    "WITH w AS (SELECT a.n AS c0, a.k AS c1, a.v AS c2, a.f AS c3, a.s AS c4, a.b AS c5, b.n % 7 AS c6 \
     FROM t2 AS a FULL JOIN t2 AS b ON a.j + 1 = b.j JOIN t0 AS c ON a.k = c.v) \
     SELECT x.c0 AS c0, x.c2 AS c1, x.c3 AS c2, x.c4 AS c3, x.c5 AS c4, y.c3 AS c5, y.c6 AS c6 \
     FROM w AS x JOIN w AS y ON x.c1 = y.c1",
    // A block that read its parts in many places did not end.
    "WITH w AS (WITH w AS (SELECT a.n AS c0, a.id AS c1, a.d AS c3, a.s AS c5 FROM t1 AS a \
     RIGHT JOIN t2 AS b ON a.id = b.k WHERE b.v > 2) \
     SELECT x.c0 % 7 AS c0, x.c1 AS c1, x.c3 AS c3, upper(x.c5) AS c4, y.c1 % 7 AS c5 \
     FROM w AS x JOIN w AS y ON x.c1 = y.c1) \
     SELECT x.c0, x.c1, x.c3, y.c5 FROM w AS x JOIN w AS y ON x.c0 = y.c0 AND x.c1 = y.c1",
    // Aggregates over different values, as two aggregations.
    "SELECT a.k, count(DISTINCT a.v) AS c0, count(*) AS c1, sum(a.j) AS c2, min(a.n) AS c3, max(a.s) AS c4, \
     count(a.v) AS c5, sum(DISTINCT a.v) AS c6 FROM t2 AS a GROUP BY a.k HAVING count(DISTINCT a.v) > 0",
    "SELECT count(DISTINCT a.s) AS c0, sum(a.v) AS c1, count(*) + 1 AS c2 FROM t2 AS a",
    "SELECT a.k % 3 AS c0, a.b AS c1, count(DISTINCT a.j + a.v) AS c2 FROM t1 AS a GROUP BY ALL",
    // Calls that share an accumulator by which another one of theirs is merged.
    "SELECT a.k, first(a.n) AS c0, max(a.n) AS c1, min(a.n) AS c2, last(a.n) AS c3, arbitrary(a.s) AS c4, \
     first(a.s) AS c5 FROM t0 AS a GROUP BY a.k",
    "SELECT a.k, arg_max(a.v, a.n) AS c0, max_by(a.v, a.n) AS c1, argmax(a.v, a.n) AS c2, min_by(a.s, a.n) AS c3, \
     arg_min(a.s, a.n) AS c4 FROM t2 AS a GROUP BY a.k",
    "SELECT last(a.v) AS c0, first(a.v) AS c1, max_by(a.n, a.n) AS c2, arg_max(a.n, a.n) AS c3 FROM t0 AS a",
    // A comma between tables, under an aggregate that evaluates its groups again.
    "SELECT a.k, median(b.v) AS c0, max(b.s) AS c1 FROM t2 AS a, t2 AS b WHERE a.k = b.k GROUP BY a.k",
    // A field of a struct beside a column of its name; the sides of USING in an outer join.
    "SELECT q.v AS v, max(q.j) AS c0, count(*) AS c1 FROM (SELECT n, {'v': v % 3, 'j': j} AS q FROM t2) GROUP BY v",
    "WITH x AS (SELECT q.v AS v, q.j AS j FROM (SELECT {'v': v % 3, 'j': j} AS q FROM t2)) \
     SELECT v, avg(j) AS c0, list_sum([i.z FOR i IN [{'z': v}]]) AS c1 FROM x GROUP BY v",
    "SELECT k, count(a.v) AS c0 FROM t2 AS a LEFT JOIN t0 AS b USING (k) WHERE a.k > 0 GROUP BY k",
    "SELECT max(v) AS c0, max(q.v) AS c1, count(q.v) AS c2, count(v) AS c3 FROM (SELECT *, {'v': j} AS q FROM t2)",
    "SELECT count(k) AS c0, count(b.k) AS c1, count(*) AS c2 FROM t2 AS a LEFT JOIN t0 AS b USING (k)",
    // A struct that is called as a table of another scope is.
    "SELECT max(v) AS c0, max(t0.v) AS c1 FROM (SELECT *, {'v': j} AS t0 FROM t2) AS a WHERE EXISTS (SELECT 1 FROM t0 WHERE t0.k = a.k)",
    // Types that differ in the names of their fields.
    "SELECT max(row(k, v)::STRUCT(a INTEGER, b BIGINT).a) AS c0, max(row(k, v)::STRUCT(b INTEGER, a BIGINT).a) AS c1 FROM t2",
    // Several values of one side that equal one of the other.
    "SELECT a.n, b.n AS m FROM t2 AS a LEFT JOIN \
     (SELECT *, CASE WHEN n % 2 = 0 THEN '0' ELSE '' END || abs(k) AS z FROM t2) AS b ON a.k = b.z",
    "SELECT a.n FROM t0 AS a WHERE EXISTS (SELECT 1 FROM t2 AS b WHERE b.n = a.f)",
    // Which row DISTINCT ON takes.
    "SELECT DISTINCT ON (a.k) a.k, a.n, a.v FROM t2 AS a ORDER BY a.k, a.v DESC, a.n LIMIT 5",
    "SELECT DISTINCT ON (a.k) a.k, a.n, sum(a.v) OVER () AS c0 FROM t2 AS a ORDER BY a.k, a.n",
    "SELECT DISTINCT ON (v) a.k AS v, a.n FROM t2 AS a ORDER BY v, a.n",
    "SELECT DISTINCT ON (a.k) a.k, a.n FROM t2 AS a ORDER BY a.k, a.v IN (SELECT v FROM t0), a.n",
    "SELECT a.k, a.n FROM t2 AS a ORDER BY ALL LIMIT 5",
    // Texts that are equal by a collation and not the same.
    "SELECT a.n, a.s FROM t2 AS a ORDER BY a.s COLLATE NOCASE, a.n LIMIT 5",
];

/// Those of them that keep accumulators for what they count.
pub const DISTINCT: std::ops::Range<usize> = 3..6;

/// Those of them that are followed by what changes although names in them look alike.
pub const ALIKE: std::ops::Range<usize> = 10..15;

/// Returns the relations that the queries are over.
pub fn relations() -> Vec<Relation> {
    [
        ("t0", Kind::Table),
        ("t1", Kind::Source),
        ("t2", Kind::Keyed),
    ]
    .map(|(name, kind)| Relation {
        name: name.to_owned(),
        kind,
    })
    .into()
}

/// Returns the views of a history, one for each query.
pub fn views() -> Vec<View> {
    (QUERIES.iter().enumerate())
        .map(|(index, query)| View {
            name: format!("v{index}"),
            query: (*query).to_owned(),
            materialized: true,
        })
        .collect()
}
