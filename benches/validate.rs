//! How long `omlsp validate` takes for large pipelines: the whole process, files read and bound.
//!
//! The goal is 1,000 entities in 100 files in under a second, with a cost that grows with their number and not
//! with its square.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use support::binary::Project;

/// The numbers of entities.
const SIZES: [usize; 4] = [250, 500, 1000, 2000];

const ENTITIES_PER_FILE: usize = 10;

/// The best of so many runs is what the program needs; the rest is what else the machine did.
const RUNS: usize = 5;

/// Writes ten entities: two sources, a lookup, four views, a materialized view and two sinks. They read each
/// other and, from the second file on, a view of the file before.
fn file(number: usize) -> String {
    let n = number;
    let mut text = String::new();
    let before = match number.checked_sub(1) {
        Some(before) => format!("filtered_{before}"),
        None => format!("quotes_{n}"),
    };
    write!(
        text,
        "CREATE SOURCE quotes_{n} (symbol STRING, price DOUBLE, size DOUBLE, made_at TIMESTAMP_MS,
    turnover DOUBLE AS (price * size), seen_at TIMESTAMP AS (TRIGGER_TIME()))
WITH (connector = 'http', url = 'https://api.example.com/{n}/quotes', interval = '10s',
    jq = '.data.ticker[] | {{symbol, price, size, made_at: .time}}', headers.Accept = 'application/json');
CREATE TABLE trades_{n} (id BIGINT PRIMARY KEY, symbol STRING, price DECIMAL(18, 4), tags STRING[])
WITH (connector = 'http', url = 'https://api.example.com/{n}/trades', schedule = '*/5 * * * *');
CREATE TEMP TABLE fees_{n} ($symbol STRING, fee DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/{n}/fees/$symbol', lookup.cache = 'lru');
CREATE VIEW filtered_{n} AS SELECT symbol, price, turnover FROM quotes_{n} WHERE price > {n} AND symbol LIKE 'B%';
CREATE VIEW chained_{n} AS SELECT symbol, price * 2 AS twice FROM {before} WHERE price IS NOT NULL;
CREATE VIEW tags_{n} AS SELECT id, unnest(tags) AS tag FROM trades_{n};
CREATE VIEW with_fee_{n} AS SELECT q.symbol, q.price * f.fee AS cost
FROM quotes_{n} AS q LEFT JOIN fees_{n} AS f ON q.symbol = f.symbol;
CREATE MATERIALIZED VIEW means_{n} AS
SELECT symbol, count(*) AS n, avg(price) AS mean FROM filtered_{n} GROUP BY symbol;
CREATE SINK out_{n} FROM (SELECT symbol, twice FROM chained_{n}) WITH (connector = 'stdout');
CREATE SINK means_out_{n} FROM means_{n} WITH (connector = 'kafka', server = 'localhost:9092',
    topic = 'means', key = 'symbol');
"
    )
    .expect("writing to a string cannot fail");
    text
}

fn best(entities: usize) -> Duration {
    let project = Project::new();
    for number in 0..entities / ENTITIES_PER_FILE {
        project.file(&format!("pipeline/{number:04}.sql"), file(number));
    }
    let runs = (0..RUNS).map(|_| {
        let started = Instant::now();
        let output = project.omlsp(["validate", "pipeline"]).run().expect_code(0);
        let took = started.elapsed();
        assert!(
            output.stderr.contains(&format!("{entities} entities")),
            "{output}"
        );
        took
    });
    runs.min().expect("there are runs")
}

fn main() {
    println!(
        "{:>10} {:>7} {:>10} {:>14}",
        "entities", "files", "best", "per entity"
    );
    for entities in SIZES {
        let took = best(entities);
        let each = took / u32::try_from(entities).expect("sizes are small");
        let files = entities / ENTITIES_PER_FILE;
        println!("{entities:>10} {files:>7} {took:>10.1?} {each:>14.1?}");
    }
}
