//! Views of more rows at once than a row group of the engine has: it adds and finds those by other ways than few.

use serde_json::json;

use super::setting::Setting;

const ROWS: &str = "CREATE TABLE g (n BIGINT, k BIGINT AS (n * 7919 % 400000)) WITH (
        connector = 'generate', rows = 450000, batch.max_rows = 150000);
    CREATE TABLE h (n BIGINT, k BIGINT AS (n % 1000), PRIMARY KEY (n)) WITH (
        connector = 'generate', rows = 300000, batch.max_rows = 150000);";

/// Over `g`, which grows, `h`, which has a key, and those before.
const VIEWS: &[(&str, &str)] = &[
    (
        "groups",
        "SELECT k, count(*) AS c, sum(n) AS s, max(n) AS last FROM g GROUP BY k",
    ),
    ("sizes", "SELECT c, count(*) AS many FROM groups GROUP BY c"),
    (
        "inner_join",
        "SELECT a.n, b.k FROM g AS a JOIN h AS b ON a.n = b.n",
    ),
    (
        "left_join",
        "SELECT a.n, b.n AS m FROM g AS a LEFT JOIN h AS b ON a.n = b.n AND b.k % 2 = 0",
    ),
    (
        "full_join",
        "SELECT a.n, b.n AS m FROM g AS a FULL JOIN h AS b ON a.n = b.n + 100000",
    ),
    (
        "join_of_views",
        "SELECT x.n, y.s FROM inner_join AS x JOIN groups AS y ON x.n = y.k",
    ),
    ("different", "SELECT DISTINCT k FROM g"),
    (
        "first",
        "SELECT n, k FROM g ORDER BY k DESC, n LIMIT 150000",
    ),
    (
        "numbered",
        "SELECT n, k, n - lag(n) OVER (PARTITION BY k ORDER BY n) AS gap FROM g",
    ),
    (
        "missing",
        "SELECT n FROM g WHERE NOT EXISTS (SELECT 1 FROM h WHERE h.n = g.n)",
    ),
];

#[test]
fn views_and_their_readers_have_all_rows() {
    let views: String = (VIEWS.iter())
        .map(|(name, query)| format!("CREATE MATERIALIZED VIEW {name} AS {query};\n"))
        .collect();
    let sink = "CREATE SINK p FROM groups WITH (connector = 'stdout', changes = 'op');";
    let setting = Setting::new(&format!("{ROWS}\n{views}{sink}"));
    let output = setting.once_kept().expect_code(0);
    for (name, query) in VIEWS {
        let differ = setting.rows(&format!(
            "SELECT (SELECT count(*) FROM (FROM {name} EXCEPT ALL ({query}))) AS much, \
             (SELECT count(*) FROM (({query}) EXCEPT ALL FROM {name})) AS little"
        ));
        assert_eq!(differ, [json!({"much": 0, "little": 0})], "{name}");
    }
    let count = |op: &str| {
        let op = format!("\"op\":\"{op}\"");
        output
            .stdout
            .lines()
            .filter(|line| line.contains(&op))
            .count()
    };
    assert_eq!(count("insert") - count("delete"), 400_000);
}
