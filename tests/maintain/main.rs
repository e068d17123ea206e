//! Invariant 1: after every batch, a materialized view is what DuckDB itself makes of its query over
//! everything the inputs have delivered. Random schemas, queries, batches; crashes in between.
//!
//! `OMLSP_MAINTAIN_CASES` sets the number of cases (`cargo test --release --test maintain`),
//! `OMLSP_MAINTAIN_SEED` the first of them.

mod pipeline;
mod query;

use pipeline::{Pipeline, Relation};
use query::Maker;

/// Enough to see every class of query many times, few enough for a minute.
const CASES: u64 = 120;

/// Batches of one case.
const BATCHES: usize = 6;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn views_are_what_their_queries_say() {
    let first = number("OMLSP_MAINTAIN_SEED").unwrap_or(1);
    let cases = number("OMLSP_MAINTAIN_CASES").unwrap_or(CASES);
    let next = std::sync::atomic::AtomicU64::new(first);
    let totals = std::sync::Mutex::new(std::collections::BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= first + cases {
                        break;
                    }
                    let counted = case(seed);
                    let mut totals = totals.lock().expect("a failed case ends the test");
                    for (way, count) in counted {
                        *totals.entry(way).or_insert(0_usize) += count;
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().expect("a failed case ends the test");
    let of = |way: &str| totals.get(way).copied().unwrap_or(0);
    println!("{totals:#?}");
    let (incremental, recomputed) = (of("incremental"), of("recomputed"));
    assert!(
        incremental > 4 * recomputed,
        "{incremental} views are incremental, {recomputed} are recomputed"
    );
}

/// Runs one pipeline of random views through random batches; returns how its views are maintained.
fn case(seed: u64) -> Vec<(String, usize)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let relations = Relation::some(&mut random);
    let views = Maker::new(&mut random, &relations).views();
    let on_disk = seed.is_multiple_of(40);
    let mut pipeline = Pipeline::open(relations, views, on_disk)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    if std::env::var_os("OMLSP_MAINTAIN_SHOW").is_some() {
        println!("{}", pipeline.text());
    }
    for batch in 0..BATCHES {
        for _ in 0..random.usize(1..3) {
            pipeline.deliver(&mut random);
        }
        if random.u8(..4) == 0 {
            pipeline.crash_in_a_batch();
        }
        pipeline
            .follow()
            .unwrap_or_else(|error| panic!("seed {seed}, batch {batch}: {error:#}"));
        if let Err(difference) = pipeline.compare() {
            panic!(
                "seed {seed}, batch {batch}: {difference}\n{}",
                pipeline.text()
            );
        }
    }
    pipeline.ways()
}
