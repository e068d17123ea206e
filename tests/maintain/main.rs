//! Invariant 1: after every batch, a materialized view is what DuckDB itself makes of its query over
//! everything the inputs have delivered. Random schemas, queries, batches; crashes in between.
//!
//! `OMLSP_MAINTAIN_CASES` sets the number of pipelines (`cargo test --release --test maintain`),
//! `OMLSP_MAINTAIN_SEED` the first of them, `OMLSP_MAINTAIN_SHOW` prints each.

#[path = "../support/mod.rs"]
mod support;

mod drift;
mod killed;
mod known;
mod pipeline;
mod query;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pipeline::{Pipeline, Relation, View};
use query::Maker;

/// Enough to see every class of query many times, few enough for two minutes.
const PIPELINES: u64 = 240;

/// Batches of one pipeline.
const BATCHES: usize = 8;

/// A run of [`PIPELINES`] makes more comparisons of a view with its query than this.
const COMPARISONS_MIN: usize = 3750;

/// Of so many pipelines or more it can be said how most views are maintained.
const PIPELINES_TOLD: u64 = 100;

/// Counts by what was counted.
type Counts = BTreeMap<String, usize>;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn add(totals: &mut Counts, counts: Counts) {
    for (what, count) in counts {
        *totals.entry(what).or_default() += count;
    }
}

#[test]
fn views_are_what_their_queries_say() {
    let first = number("OMLSP_MAINTAIN_SEED").unwrap_or(1);
    let pipelines = number("OMLSP_MAINTAIN_CASES").unwrap_or(PIPELINES);
    let show = std::env::var_os("OMLSP_MAINTAIN_SHOW").is_some();
    let (begun, next) = (Instant::now(), AtomicU64::new(first));
    let (totals, failed) = (Mutex::new(Counts::new()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + pipelines {
                break;
            }
            let begun = Instant::now();
            match catch_unwind(AssertUnwindSafe(|| case(seed))) {
                Ok(counts) => add(&mut totals.lock().expect("adding does not panic"), counts),
                // What it says has been printed where it panicked.
                Err(_) => failed.lock().expect("pushing does not panic").push(seed),
            }
            if show {
                println!("seed {seed}: {:?}", begun.elapsed());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("pushing does not panic");
    let totals = totals.into_inner().expect("adding does not panic");
    let of = |what: &str| totals.get(what).copied().unwrap_or(0);
    let comparisons = of(COMPARED);
    println!(
        "{comparisons} comparisons of a view with its query, of {pipelines} pipelines in {:?}: {totals:#?}",
        begun.elapsed()
    );
    assert_eq!(failed, Vec::<u64>::new(), "the seeds that failed");
    if pipelines >= PIPELINES {
        assert!(comparisons >= COMPARISONS_MIN, "only {comparisons}");
    }
    let (incremental, recomputed) = (of("incremental"), of("recomputed"));
    assert!(
        pipelines < PIPELINES_TOLD || incremental > 4 * recomputed,
        "{incremental} views are incremental, {recomputed} are recomputed"
    );
}

/// What the comparisons of one view with its query after one batch are counted as.
const COMPARED: &str = "compared";

/// Runs one pipeline of random views through random batches; returns how its views are maintained, and how
/// often they were compared.
fn case(seed: u64) -> Counts {
    let mut random = fastrand::Rng::with_seed(seed);
    let relations = Relation::some(&mut random);
    let views = Maker::new(&mut random, &relations).views();
    run(seed, random, (relations, views))
}

#[test]
fn views_that_were_wrong_are_right() {
    for seed in 0..known::HISTORIES {
        let random = fastrand::Rng::with_seed(seed);
        let counts = run(seed, random, (known::relations(), known::views()));
        assert_eq!(counts[COMPARED], BATCHES * known::QUERIES.len());
    }
}

#[test]
fn different_values_are_counted_by_what_changes() {
    for (name, words) in words_of(known::DISTINCT) {
        assert_eq!(words, "groups keep accumulators", "{name}");
    }
}

#[test]
fn names_that_look_alike_do_not_keep_a_query_from_being_followed() {
    for (name, words) in words_of(known::ALIKE) {
        assert!(!words.contains("Recompute"), "{name}: {words}");
    }
}

/// Returns the names of some of the known views, with how each is maintained.
fn words_of(range: std::ops::Range<usize>) -> Vec<(String, String)> {
    let views = known::views();
    let names: Vec<String> = (views[range].iter())
        .map(|view| view.name.clone())
        .collect();
    assert!(!names.is_empty());
    let pipeline = Pipeline::open(known::relations(), views, false).expect("the views are valid");
    let words = names.into_iter().map(|name| {
        let words = pipeline.words(&name);
        (name, words)
    });
    words.collect()
}

/// Runs views through random batches and compares them after each.
fn run(
    seed: u64,
    mut random: fastrand::Rng,
    (relations, views): (Vec<Relation>, Vec<View>),
) -> Counts {
    let on_disk = seed.is_multiple_of(40);
    let mut pipeline = Pipeline::open(relations, views, on_disk)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    if std::env::var_os("OMLSP_MAINTAIN_SHOW").is_some() {
        println!("{}", pipeline.text());
    }
    let mut compared = 0;
    for batch in 0..BATCHES {
        for _ in 0..random.usize(1..3) {
            pipeline.deliver(&mut random);
        }
        if random.u8(..8) == 0 {
            pipeline.crash_in_a_batch();
        }
        pipeline
            .follow()
            .unwrap_or_else(|error| panic!("seed {seed}, batch {batch}: {error:#}"));
        compared += pipeline.compare().unwrap_or_else(|difference| {
            panic!(
                "seed {seed}, batch {batch}: {difference}\n{}",
                pipeline.text()
            )
        });
    }
    let mut counts = pipeline.ways();
    counts.insert(COMPARED.to_owned(), compared);
    counts
}
