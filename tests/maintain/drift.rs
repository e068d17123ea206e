//! Sums of floating point numbers are those of the rows that are there, whatever was there before.

use super::pipeline::{Kind, Pipeline, Relation, View, row_sql};

/// So often a value beside which the others are nothing comes and goes.
const ROUNDS: usize = 20;

#[test]
fn sums_do_not_drift() {
    let relation = Relation {
        name: "t0".to_owned(),
        kind: Kind::Keyed,
    };
    let view = View {
        name: "v0".to_owned(),
        query: "SELECT k, sum(f) AS total, avg(f) AS mean, var_pop(f) AS spread FROM t0 GROUP BY k"
            .to_owned(),
        materialized: true,
    };
    let pipeline = Pipeline::open(vec![relation.clone()], vec![view], false)
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(pipeline.ways()["incremental"], 1);
    let deliver = |rows: &[(&str, &str)]| {
        let rows: Vec<String> = (rows.iter())
            .map(|(id, f)| {
                let row = Relation::columns().map(|(name, _)| match *name {
                    "n" | "id" => Some((*id).to_owned()),
                    "k" => Some("1".to_owned()),
                    "f" => Some((*f).to_owned()),
                    _ => None,
                });
                row_sql(row.collect())
            })
            .collect();
        pipeline.deliver_rows(&relation, &rows);
        pipeline
            .follow()
            .unwrap_or_else(|error| panic!("{error:#}"));
    };
    deliver(&[("1", "0.25"), ("2", "0.5"), ("3", "0.75")]);
    for round in 0..ROUNDS {
        deliver(&[("3", "1e17")]);
        deliver(&[("3", "0.75")]);
        // These sums are exact in any order.
        let right =
            "SELECT count(*) FROM data.v0 WHERE total = 1.5 AND mean = 0.5 AND spread = 0.125 / 3";
        let right = pipeline.session().number(right, &[]);
        let right = right.unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(right, Some(1), "round {round}");
    }
}
