//! The same of the real process, killed again and again while rows come: once it has caught up, every view is
//! what DuckDB makes of its query over the tables that are left.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use omlsp::engine::{Database, Session};

use super::pipeline::{Kind, ROWS_MAX, Relation, View, rounded, row};
use super::query::Maker;
use super::support::binary::{Project, wait_at_most};
use super::support::http::{Reply, Server};

/// Pipelines of random views, each killed [`KILLS`] times.
const PIPELINES: u64 = 8;

const KILLS: usize = 4;

/// Of all pipelines, so many views are compared at least.
const COMPARISONS_MIN: usize = 10;

#[test]
fn views_are_what_their_queries_say_after_kills() {
    let seeds = Mutex::new(1..=PIPELINES);
    let compared = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().expect("no lock panics").next() else {
                        break;
                    };
                    let count = case(seed);
                    *compared.lock().expect("no lock panics") += count;
                }
            });
        }
    });
    let compared = compared.into_inner().expect("no lock panics");
    assert!(compared >= COMPARISONS_MIN, "only {compared}");
}

/// Kills a pipeline while it takes rows, lets it come to its end, and compares; returns the number of views.
fn case(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed << 32);
    let mut relations = Relation::some(&mut random);
    for relation in &mut relations {
        // A source keeps no rows to compare with.
        if relation.kind == Kind::Source {
            relation.kind = Kind::Keyed;
        }
    }
    let views = Maker::new(&mut random, &relations).views();
    let (server, project) = (Server::start(), Project::new());
    serve(&server, seed);
    let text = pipeline(&relations, &views);
    project.file("pipeline.sql", &text);
    let run = |more: &[&str]| {
        let args = ["run", "pipeline.sql", "--state-dir", "st"];
        let args = args.into_iter().chain(more.iter().copied());
        project.omlsp(args).env("URL", server.url()).spawn()
    };
    for _ in 0..KILLS {
        let running = run(&[]);
        // At any moment: as it takes its first rows, or well under way.
        let goal = server.request_count() + random.u64(1..24);
        // A slow machine may not get so far; then this is a kill as good as any.
        wait_at_most(Duration::from_secs(10), || server.request_count() >= goal)
            .unwrap_or_default();
        thread::sleep(Duration::from_millis(random.u64(0..60)));
        let output = running.kill_if_running();
        for word in ["panicked", "ERROR", "internal error"] {
            assert!(
                !output.stderr.contains(word),
                "seed {seed}: {output}\n{text}"
            );
        }
    }
    // Polls once more, and takes everything in.
    run(&["--once"]).wait().expect_code(0);
    compare(
        &project.path().join("st/state.duckdb"),
        (&relations, &views),
    )
    .unwrap_or_else(|difference| panic!("seed {seed}: {difference}\n{text}"))
}

/// Serves random rows, new ones to every request.
fn serve(server: &Server, seed: u64) {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    server.on("GET", "/rows*", move |_| {
        let mut random = random.lock().expect("no answer panics");
        let rows: Vec<serde_json::Value> = (0..random.usize(1..=ROWS_MAX))
            .map(|_| {
                let names = Relation::columns().map(|(name, _)| (*name).to_owned());
                let values = row(&mut random).into_iter().map(serde_json::Value::from);
                names.zip(values).collect::<serde_json::Map<_, _>>().into()
            })
            .collect();
        Reply::value(&rows.into())
    });
}

fn pipeline(relations: &[Relation], views: &[View]) -> String {
    let mut text = String::new();
    for Relation { name, kind } in relations {
        let mut columns: Vec<String> = Relation::columns()
            .map(|(name, sql_type)| format!("{name} {sql_type}"))
            .collect();
        if *kind == Kind::Keyed {
            columns.push("PRIMARY KEY (id)".to_owned());
        }
        let columns = columns.join(", ");
        writeln!(
            text,
            "CREATE TABLE {name} ({columns}) WITH (connector = 'http', url = '${{URL}}/rows/{name}', interval = '40ms');"
        )
        .expect("a string takes everything");
    }
    for view in views {
        text.push_str(&view.create());
    }
    text
}

/// Compares every kept view with its query over the tables; returns how many there are.
fn compare(state: &Path, (relations, views): (&[Relation], &[View])) -> Result<usize, String> {
    let database = Database::open(Some(state)).map_err(|error| format!("{error:#}"))?;
    let session = database.session().map_err(|error| format!("{error:#}"))?;
    let mut ctes = Vec::new();
    for Relation { name, .. } in relations {
        let columns: Vec<&str> = Relation::columns().map(|(name, _)| *name).collect();
        let columns = columns.join(", ");
        ctes.push(format!("{name} AS (SELECT {columns} FROM data.{name})"));
        let rows = number(&session, &format!("SELECT count(*) FROM data.{name}"))?;
        if rows == 0 {
            return Err(format!("`{name}` has got no row"));
        }
    }
    let mut compared = 0;
    for view in views {
        if view.materialized {
            let types = session
                .describe(&format!("SELECT * FROM main.{}", view.name))
                .map_err(|fault| fault.message)?;
            let columns: Vec<String> = (types.iter())
                .map(|(name, sql_type)| rounded(name, sql_type))
                .collect();
            let columns = columns.join(", ");
            let with = ctes.join(", ");
            let expected = format!("SELECT {columns} FROM ({})", view.query);
            let actual = format!("SELECT {columns} FROM main.{}", view.name);
            for (what, left, right) in [
                ("missing", &expected, &actual),
                ("too many", &actual, &expected),
            ] {
                let count =
                    format!("WITH {with} SELECT count(*) FROM (({left}) EXCEPT ALL ({right}))");
                let count = number(&session, &count)?;
                if count > 0 {
                    return Err(format!("{}, {what}: {count} rows", view.name));
                }
            }
            compared += 1;
        }
        ctes.push(format!("{} AS ({})", view.name, view.query));
    }
    Ok(compared)
}

fn number(session: &Session, sql: &str) -> Result<i64, String> {
    let number = session.number(sql, &[]);
    let number = number.map_err(|error| format!("{error:#}: {sql}"))?;
    number.ok_or_else(|| format!("no number: {sql}"))
}
