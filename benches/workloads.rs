//! The whole of what OMLSP is for, measured: each workload several times in the release binary, beside the raw
//! limit on this machine in the same run, in one table.
//!
//! ```text
//! just bench                                  # everything
//! cargo bench --bench workloads -- W1 W3      # some
//! cargo bench --bench workloads -- W1 --runs 11
//! ```
//!
//! Servers, a Kafka broker and the raw clients run on the same machine, so their work is part of every time.
//! What cannot be had here (`jq`, a JVM) is left out, and the table says so.

#[path = "../tests/kafka/bare.rs"]
mod bare;
#[path = "../tests/kafka/broker.rs"]
mod broker;
#[path = "workloads/kafka.rs"]
mod kafka;
#[path = "workloads/lookup.rs"]
mod lookup;
#[path = "workloads/poll.rs"]
mod poll;
#[path = "workloads/start.rs"]
mod start;
#[path = "workloads/stream.rs"]
mod stream;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "workloads/table.rs"]
mod table;
#[path = "workloads/views.rs"]
mod views;

use table::Table;

/// What the binary itself allocates with: the raw limits get the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A workload: its name, and what measures it.
type Workload = (&'static str, fn(&mut Table));

const WORKLOADS: &[Workload] = &[
    ("W1", poll::hundred_thousand_rows),
    ("W1", poll::repeated),
    ("W1", poll::gigabyte_of_pages),
    ("W2", lookup::thousand_lookups),
    ("W3", stream::messages),
    ("W4", kafka::rows_to_a_topic),
    ("W5", start::start_and_idle),
    ("W6", views::batches_over_histories),
    ("W7", kafka::topic_to_topic),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| {
        let mut names = words.iter().filter(|word| word.starts_with('W')).peekable();
        names.peek().is_none() || names.any(|word| word == name)
    };
    let runs = words.iter().position(|word| word == "--runs");
    let runs = runs.and_then(|at| words.get(at + 1)?.parse().ok());
    let mut table = Table::start(runs.unwrap_or(5));
    for (name, measure) in WORKLOADS {
        if wanted(name) {
            measure(&mut table);
        }
    }
    table.finish();
}
