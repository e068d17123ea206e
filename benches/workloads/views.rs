//! W6: what a batch of a thousand rows costs a view over a long history, beside the same over a short one: groups
//! with accumulators, and a join that looks up the other side. The time is that of the whole transaction, commit on
//! disk included.

use std::path::PathBuf;
use std::time::Instant;

use omlsp::catalog::Catalog;
use omlsp::diagnostic::SourceMap;
use omlsp::engine::{Database, Ledger, Session, Stamp, Stored};
use omlsp::options::Environment;
use omlsp::plan::{DerivedPlan, Maintenance, Plan, Work, check};
use omlsp::runtime::maintain::{Maintainer, Range, head_of};
use omlsp::runtime::state;

use crate::table::{Goal, Runs, Table};

/// Rows of the other relation, or of this one, before the batches that are measured.
const HISTORIES: [u64; 3] = [10_000, 1_000_000, 10_000_000];

const BATCH_ROWS: u64 = 1000;

/// Batches before those that are measured.
const WARM_UP: usize = 3;

const MEASURED: usize = 15;

/// A view, the table whose history grows, the table that the batches come to, and how much more a batch may
/// cost at the longest history than at the shortest.
struct Case {
    name: &'static str,
    query: &'static str,
    history: &'static str,
    batches: &'static str,
    goal: f64,
}

const TABLES: &str = "
    CREATE TABLE events (n BIGINT, k BIGINT AS (n), v BIGINT AS (n)) WITH (connector = 'generate', rows = '1');
    CREATE TABLE others (n BIGINT, k BIGINT AS (n), v BIGINT AS (n)) WITH (connector = 'generate', rows = '1');";

const CASES: [Case; 4] = [
    Case {
        name: "GROUP BY, 1,000 groups",
        query: "SELECT k % 1000 AS g, count(*) AS n, sum(v) AS total, avg(v) AS mean, max(v) AS high \
                FROM events GROUP BY ALL",
        history: "events",
        batches: "events",
        goal: 3.0,
    },
    Case {
        name: "GROUP BY, 1,000,000 groups",
        query: "SELECT k % 1000000 AS g, count(*) AS n, sum(v) AS total, avg(v) AS mean, max(v) AS high \
                FROM events GROUP BY ALL",
        history: "events",
        batches: "events",
        goal: 3.0,
    },
    Case {
        name: "JOIN, batches to the one side",
        query: "SELECT events.n, events.k, others.v FROM events JOIN others ON events.k = others.k",
        history: "others",
        batches: "events",
        goal: 5.0,
    },
    Case {
        name: "LEFT JOIN, batches to the right",
        query: "SELECT others.n, others.k, events.v FROM others LEFT JOIN events ON events.k = others.k",
        history: "others",
        batches: "events",
        goal: 5.0,
    },
];

pub fn batches_over_histories(table: &mut Table) {
    for case in &CASES {
        let mut shortest = None;
        for history in HISTORIES {
            let millis = measure(case, history).expect("the pipeline is sound");
            let millis = Runs::of(millis, "ms");
            let what = format!("{}, {}", case.name, rows(history));
            match &shortest {
                None => table.fact("W6", &what, &millis, Goal::None),
                Some(raw) => {
                    let goal = Goal::RatioAtMost(case.goal);
                    table.beside("W6", &what, &millis, raw, goal);
                }
            }
            shortest.get_or_insert(millis);
        }
    }
}

fn rows(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} k rows", count / 1000),
        _ => format!("{} M rows; raw: 10 k", count / 1_000_000),
    }
}

/// Returns the milliseconds that each measured batch took.
fn measure(case: &Case, history: u64) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let bench = Bench::open(case, folder.path().join("state.duckdb"))?;
    bench.deliver(case.history, history)?;
    if case.history != case.batches {
        bench.deliver(case.batches, BATCH_ROWS)?;
    }
    bench.follow()?;
    let mut times = Vec::new();
    for batch in 0..WARM_UP + MEASURED {
        bench.deliver(case.batches, BATCH_ROWS)?;
        let begun = Instant::now();
        bench.follow()?;
        if batch >= WARM_UP {
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(times)
}

struct Bench {
    plan: Plan,
    session: Session,
    _database: Database,
}

impl Bench {
    fn open(case: &Case, path: PathBuf) -> anyhow::Result<Self> {
        let text = format!("{TABLES}\nCREATE MATERIALIZED VIEW made AS {};", case.query);
        let mut sources = SourceMap::default();
        omlsp::sql::add_source(&mut sources, PathBuf::from("bench.sql"), text);
        let (catalog, faults) = Catalog::of_files(&sources);
        let plan = check(&catalog, &Environment::of_process(), faults)?.plan;
        let plan = plan.ok_or_else(|| anyhow::anyhow!("the pipeline is valid"))?;
        let database = Database::open(Some(&path))?;
        let session = database.session()?;
        Ledger::new(&session).prepare()?;
        let steps = state::compare(&Ledger::new(&session).entities()?, &plan, false)?;
        state::apply(&session, &plan, &steps)?;
        Ok(Self {
            plan,
            session,
            _database: database,
        })
    }

    fn view(&self) -> &DerivedPlan {
        let view = self.plan.node("made").and_then(|node| node.derived());
        view.expect("the pipeline has it")
    }

    fn table(&self, name: &str) -> &Stored {
        match &self.plan.node(name).expect("the pipeline has it").work {
            Work::Source(source) => &source.stored,
            _ => unreachable!("it is a table"),
        }
    }

    /// Delivers rows in batches of [`BATCH_ROWS`]; keys are spread over the range of the history.
    fn deliver(&self, table: &str, rows: u64) -> anyhow::Result<()> {
        let stored = self.table(table);
        self.session.transaction(|session| {
            let ledger = Ledger::new(session);
            let head = ledger.stream(table)?.head;
            let first = head * BATCH_ROWS;
            session.execute_batch(&format!(
                "INSERT INTO {} SELECT i, (hash(i) % 10000000)::BIGINT, i % 97, \
                 1 + i // {BATCH_ROWS}, make_timestamp(0) FROM range({first}, {}) AS _rows(i)",
                stored.data(),
                first + rows
            ))?;
            ledger.advance(table, head + rows.div_ceil(BATCH_ROWS), None)
        })
    }

    /// Lets the view take what is new.
    fn follow(&self) -> anyhow::Result<()> {
        let plan = self.view();
        let Maintenance::Incremental(program) = &plan.maintenance else {
            anyhow::bail!("the view is {}", plan.maintenance.words());
        };
        let inputs: Vec<Stored> = (plan.feed.inputs.iter())
            .map(|input| input.stored.clone())
            .collect();
        let maintainer = Maintainer {
            program,
            stored: &plan.stored,
            inputs: &inputs,
        };
        let name = &plan.stored.name;
        self.session.transaction(|session| {
            let ledger = Ledger::new(session);
            let mut ranges = Vec::new();
            for input in &inputs {
                ranges.push(Range {
                    from: ledger.position(name, &input.name)?,
                    to: head_of(session, input)?,
                });
            }
            if ranges.iter().all(|range| range.from.is_none()) {
                maintainer.create(session)?;
            }
            let seq = ledger.stream(name)?.head + 1;
            maintainer.apply(session, &ranges, Stamp { seq, trigger_us: 0 })?;
            ledger.advance(name, seq, None)?;
            for (input, range) in inputs.iter().zip(&ranges) {
                ledger.set_position(name, &input.name, range.to)?;
            }
            Ok(())
        })
    }
}
